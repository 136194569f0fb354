"""What old scripts import from caffe.pycaffe, and from caffe._caffe."""

import caffe

from . import vectors
from .vectors import *  # noqa: F403

_NAMES = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "Layer", "LayerParameter",
          "NCCL", "Net", "NesterovSolver", "RMSPropSolver", "SGDSolver", "Solver",
          "SolverParameter", "Timer", "get_solver", "has_nccl", "init_log", "layer_type_list",
          "log", "set_device", "set_mode_cpu", "set_mode_gpu", "set_multiprocess",
          "set_precision", "set_random_seed", "set_solver_count", "set_solver_rank",
          "solver_count", "solver_rank"]
__all__ = [*_NAMES, *vectors.__all__]

globals().update({name: getattr(caffe, name) for name in _NAMES})
