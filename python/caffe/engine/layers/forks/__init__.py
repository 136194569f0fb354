"""The layers of Caffe's forks; docs/pycaffe.md lists them."""

from . import (
    batch_norm,
    dense_crf,
    detection,
    interp,
    padding,
    regions,
    seg_accuracy,
    small,
    unpooling,
    weighted_loss,
)
