"""Layers with fewer taps and filters: of fc6 and fc7, what DeepLab keeps.

A convolutional fc6 of 7×7 taps and 4096 filters takes most of the time. DeepLab (arXiv 1412.7062,
section 3.1) subsamples it "by simple decimation" to 4×4 or 3×3 taps, LargeFOV takes 1024 filters.
The paper does not say which; here they lie as evenly as whole numbers allow and begin with the
first: of 7 taps 0, 2, 4, 6 or 0, 3, 6, of 4096 filters every fourth. Evenly spaced taps with
correspondingly larger holes are exact: a 7×7 kernel at hole 4 that is zero but at taps 0, 3, 6 is
the 3×3 kernel of these taps at hole 12.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import caffe

from .parameters import SurgeryError, Weights, layer_parameters
from .transplant import Outcome, transplant


def decimate(new_net: caffe.Net, new_layer: str, net: caffe.Net | Weights, layer: str,
             side: int = 1) -> Outcome:
    """Copy a layer into a convolution of the same function with fewer taps, filters and inputs.

    side : of an InnerProduct layer, the side of the square blob that it sees; a convolution has
        its own. 7 of VGG-16's fc6, 1 of fc7
    Biases are those of the filters that stay. Returns the outcome for a report. Raises
    SurgeryError, before anything is copied, if a layer is unknown, or `new_layer` would need more
    than is there.
    """
    (new, *new_bias), (old, *bias) = (layer_parameters(*of) for of in ((new_net, new_layer),
                                                                       (net, layer)))
    weights, want = np.asarray(old.data), tuple(new.data.shape)
    if weights.ndim == 2 and weights.shape[1] % side ** 2 == 0:
        weights = weights.reshape(len(weights), -1, side, side)
    have = weights.shape
    if (len(have) != 4 or len(want) != 4 or len(bias) != len(new_bias)
            or any(few > many for few, many in zip(want, have))):
        raise SurgeryError(f"{layer} of shape {tuple(old.data.shape)}, seen at {side}×{side}, "
                           f"does not decimate to {new_layer} of shape {want}: it needs as many "
                           "parameters, and no more filters, inputs and taps")
    filters, inputs = (np.arange(few) * many // few for few, many in zip(want[:2], have[:2]))
    rows, columns = (np.linspace(0, many - 1, few).round().astype(int)
                     for few, many in zip(want[2:], have[2:]))
    new.data[...] = weights[np.ix_(filters, inputs, rows, columns)]
    for new_values, values in zip(new_bias, bias):
        new_values.data[...] = np.asarray(values.data).reshape(-1)[filters]
    return Outcome("decimated", layer, f" {have} -> {new_layer} {want}")


def decimate_classifier(new_net: caffe.Net, net: caffe.Net, branches: Sequence[str], side: int
                        ) -> list[Outcome]:
    """Fill a net of DeepLab from VGG-16's classifier: every fc6 and fc7, whose names end like one
    of `branches`, by `decimate`, the rest by `transplant`; returns the report.

    side : as of `decimate`, of fc6
    """
    taken = {"fc6": side, "fc7": 1}
    filled = {name + branch for name in taken for branch in branches}
    report = [outcome for outcome in transplant(new_net, net, skip=taken)
              if outcome.name not in filled | taken.keys()]
    outcomes = [decimate(new_net, name + branch, net, name, seen)
                for name, seen in taken.items() for branch in branches]
    print("\n".join(map(str, outcomes)))
    return report + outcomes
