"""pycaffe on PyTorch: Caffe's interface, semantics and files, on today's CPUs and GPUs.

Writing prototxts needs no torch: it is loaded when the first net, solver or blob is made.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import CaffeError, DeviceError, LayerError, PrototxtError, WeightsError
from .layer import Layer
from .log import init_log, log
from .net_spec import NetSpec, layers, params, to_proto

if TYPE_CHECKING:       # what editors see of the names that are loaded when they are asked for
    from . import _caffe, classifier, coord_map, detector, draw, io, pycaffe
    from .classifier import Classifier
    from .context import (
        TEST,
        TRAIN,
        has_nccl,
        set_device,
        set_mode_cpu,
        set_mode_gpu,
        set_multiprocess,
        set_random_seed,
        set_solver_count,
        set_solver_rank,
        solver_count,
        solver_rank,
    )
    from .crf import dense_crf
    from .detector import Detector
    from .engine.blob import Blob
    from .engine.layers import layer_type_list
    from .engine.net import Net
    from .engine.parallel import NCCL
    from .engine.precision import set_precision
    from .engine.solvers.registry import get_solver
    from .engine.solvers.rules import (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
    )
    from .engine.solvers.solver import Solver
    from .engine.timer import Timer
    from .export import to_torch
    from .proto.caffe_pb2 import LayerParameter, SolverParameter

_CONTEXT = ("TEST", "TRAIN", "has_nccl", "set_device", "set_mode_cpu", "set_mode_gpu",
            "set_multiprocess", "set_random_seed", "set_solver_count", "set_solver_rank",
            "solver_count", "solver_rank")
_LAZY = {
    **dict.fromkeys(_CONTEXT, "context"),
    "NCCL": "engine.parallel", "set_precision": "engine.precision",
    "Net": "engine.net", "Blob": "engine.blob", "Solver": "engine.solvers.solver",
    "get_solver": "engine.solvers.registry", "SGDSolver": "engine.solvers.rules",
    "NesterovSolver": "engine.solvers.rules", "AdaGradSolver": "engine.solvers.rules",
    "RMSPropSolver": "engine.solvers.rules", "AdaDeltaSolver": "engine.solvers.rules",
    "AdamSolver": "engine.solvers.rules", "Timer": "engine.timer",
    "SolverParameter": "proto.caffe_pb2", "LayerParameter": "proto.caffe_pb2",
    "layer_type_list": "engine.layers", "to_torch": "export", "dense_crf": "crf",
    "Classifier": "classifier", "Detector": "detector",
}
_MODULES = "io", "draw", "coord_map", "classifier", "detector", "pycaffe", "_caffe"

__all__ = ["init_log", "log",
           "CaffeError", "DeviceError", "LayerError", "PrototxtError", "WeightsError",
           "Layer", "NetSpec", "layers", "params", "to_proto", *_MODULES, *_LAZY]
__version__ = "1.0.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module("." + name, __name__)
    if name in _LAZY:
        return getattr(import_module("." + _LAZY[name], __name__), name)
    raise AttributeError(f"module 'caffe' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
