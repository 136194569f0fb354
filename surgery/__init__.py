"""Net surgery: weights from one net into another of a different shape.

Works on any pycaffe net: `net.params` maps layer names to blobs with NumPy `data`. What is taken
from may also be a file, as `Weights`.
"""

from .decimation import decimate, decimate_classifier
from .expansion import expand_grey, expand_image, expand_score
from .identity import identity
from .interpolation import bilinear, interp
from .parameters import Parameter, SurgeryError, Weights, layer_parameters
from .statistics import Statistics, fold_statistics, learns_statistics, statistics, with_statistics
from .transplant import Outcome, transplant

__all__ = ["Outcome", "Parameter", "Statistics", "SurgeryError", "Weights", "bilinear",
           "decimate", "decimate_classifier", "expand_grey", "expand_image", "expand_score",
           "fold_statistics", "identity", "interp", "layer_parameters", "learns_statistics",
           "statistics", "transplant", "with_statistics"]
