"""The layers of Caffe's forks that segmentation nets use; docs/pycaffe.md lists them."""

from . import (
    batch_norm,
    dense_crf,
    interp,
    padding,
    regions,
    seg_accuracy,
    small,
    unpooling,
    weighted_loss,
)
