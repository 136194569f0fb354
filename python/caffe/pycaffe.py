"""What old scripts import from caffe.pycaffe, and from caffe._caffe."""

from . import vectors
from .context import (
                      NCCL,
                      has_nccl,
                      set_device,
                      set_mode_cpu,
                      set_mode_gpu,
                      set_multiprocess,
                      set_precision,
                      set_random_seed,
                      set_solver_count,
                      set_solver_rank,
                      solver_count,
                      solver_rank,
)
from .engine.blob import Blob
from .engine.layers import layer_type_list
from .engine.net import Net
from .engine.solvers.rules import (
                      AdaDeltaSolver,
                      AdaGradSolver,
                      AdamSolver,
                      NesterovSolver,
                      RMSPropSolver,
                      SGDSolver,
)
from .engine.solvers.solver import Solver, get_solver
from .engine.timer import Timer
from .layer import Layer
from .log import init_log, log
from .proto.caffe_pb2 import LayerParameter, SolverParameter
from .vectors import *  # noqa: F403

__all__ = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "Layer", "LayerParameter",
           "NCCL", "Net", "NesterovSolver", "RMSPropSolver", "SGDSolver", "Solver",
           "SolverParameter", "Timer", "get_solver", "has_nccl", "init_log", "layer_type_list",
           "log", "set_device", "set_mode_cpu", "set_mode_gpu", "set_multiprocess",
           "set_precision", "set_random_seed", "set_solver_count", "set_solver_rank",
           "solver_count", "solver_rank", *vectors.__all__]
