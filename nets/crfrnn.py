"""CRF-RNN (Zheng et al., ICCV 2015, arXiv 1502.03240): a dense CRF in the net, learnt with it.

Scores of FCN-8s go through iterations of the mean field of a fully connected CRF, which looks at
the colours of the image. How strong its two filters are, and which classes go with which, is
learnt.
"""

from __future__ import annotations

from caffe import layers as L
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2

BASE = "fcn8s"                              # the head whose scores are refined
ITERATIONS = {"train": 5, "val": 10, "deploy": 10}
THETAS = (160, 3, 3)    # deviations: pixels and colours of one filter, pixels of the other
WEIGHTS = (5, 3)        # of these filters, at the start
# times the rate of the net: of the filters' weights over places, over colours, of compatibilities
RATES = (10_000, 10_000, 1_000)


def refine(n: NetSpec, scores: Top, image: Top, split: str, thetas: tuple = THETAS) -> None:
    """Set `n.score`: the scores after the mean field. The layer has its published name, inference1.

    image : B G R, the mean subtracted, not scaled, of the size of the scores
    Raises ValueError where the caffe that runs has no MultiStageMeanfield, a layer of that fork.
    """
    if not hasattr(caffe_pb2, "MultiStageMeanfieldParameter"):
        raise ValueError("head 'crfrnn' needs the layer MultiStageMeanfield of CRF-RNN's fork, "
                         "which this caffe does not have; the package caffe of this project does")
    places, colours, near = thetas
    n.score = L.MultiStageMeanfield(
        scores, scores, image, name="inference1", param=[dict(lr_mult=rate) for rate in RATES],
        multi_stage_meanfield_param=dict(
            num_iterations=ITERATIONS[split], theta_alpha=places, theta_beta=colours,
            theta_gamma=near, bilateral_filter_weight=WEIGHTS[0],
            spatial_filter_weight=WEIGHTS[1]))
