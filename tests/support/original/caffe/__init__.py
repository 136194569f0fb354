"""A caffe package that has no more than the original's, computed by this project's engine.

Modules, classes and objects have the attributes that tests/golden/pycaffe_surface.json records
from the original, and no others. What the original holds in C++ vectors can be indexed and
measured here, but not iterated; paths are strings, shapes are Python integers, as it insists.
Put the folder above this package first on PYTHONPATH, and a tool runs on it.
"""

import functools
import importlib.util
import json
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[4]
SURFACE = json.loads((ROOT / "tests" / "golden" / "pycaffe_surface.json").read_text())
ENGINE = "engine_below"


def _engine():
    """The project's own package, under another name."""
    folder = ROOT / "python" / "caffe"
    spec = importlib.util.spec_from_file_location(ENGINE, folder / "__init__.py",
                                                  submodule_search_locations=[str(folder)])
    module = sys.modules[ENGINE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Restricted:
    """An object of the engine of which only some attributes can be reached, none made anew."""

    def __init__(self, wrapped, kind):
        object.__setattr__(self, "wrapped_by_test", (wrapped, kind))

    def __getattribute__(self, name):
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        wrapped, kind = object.__getattribute__(self, "wrapped_by_test")
        if name not in SURFACE[f"caffe.{kind}"]:
            raise AttributeError(f"the original's {kind} has no attribute '{name}'")
        return wrap(getattr(wrapped, name), name)

    def __setattr__(self, name, value):
        raise AttributeError(f"the original's {self!r} lets nobody set '{name}'")


class Vector:
    """What the original holds in a C++ vector."""
    __iter__ = None

    def __init__(self, items):
        self.items_of_test = items

    def __getitem__(self, index):
        if not isinstance(index, (int, slice)):
            raise TypeError("Invalid index type")
        found = self.items_of_test[index]
        return Vector(found) if isinstance(index, slice) else wrap(found)

    def __len__(self):
        return len(self.items_of_test)

    def add_blob(self, *shape):
        self.items_of_test.add_blob(*shape)


def unwrap(value):
    if isinstance(value, Restricted):
        return object.__getattribute__(value, "wrapped_by_test")[0]
    return value


def wrap(value, name=""):
    """What the original gives in place of an engine's value; `name` is that of the attribute."""
    engine = sys.modules[ENGINE]
    if isinstance(value, dict):
        return OrderedDict((key, Vector(each) if name == "params" else wrap(each, name))
                           for key, each in value.items())
    if isinstance(value, engine.Blob):
        return Blob(value)
    if isinstance(value, engine.Net):
        return Restricted(value, "Net")
    if name in ("test_nets", "shape", "layers"):
        return Vector(value)
    if name == "param":
        return Restricted(value, "SolverParameter")
    if callable(value):
        return lambda *args, **kwargs: wrap(value(*map(unwrap, args), **kwargs))
    return value


class Blob(Restricted):
    def __init__(self, wrapped):
        super().__init__(wrapped, "Blob")

    def __getattribute__(self, name):
        if name == "reshape":
            return functools.partial(_reshape, object.__getattribute__(self, "wrapped_by_test")[0])
        return super().__getattribute__(name)


def _reshape(blob, *shape):
    for side in shape:
        if type(side) is not int:
            raise TypeError(f"No registered converter for {type(side)}")
    blob.reshape(*shape)


def _strings(*paths):
    for path in paths:
        if type(path) is not str:
            raise TypeError(f"Python argument types did not match C++ signature: {type(path)}")


def Net(*args, level=0, stages=None, weights=None):
    """Net(file, phase, level, stages, weights), or the older Net(file, weights, phase)."""
    _strings(*(each for each in (args[0], args[1] if len(args) == 3 else "", weights or "")))
    options = {key: value for key, value in (("level", level), ("stages", stages),
                                             ("weights", weights)) if value}
    return Restricted(sys.modules[ENGINE].Net(*args, **options), "Net")


def get_solver(path):
    _strings(path)
    solver = sys.modules[ENGINE].get_solver(path)
    return Restricted(solver, type(solver).__name__)


def _layer_class(base):
    class Layer(base):
        """A Python layer: its methods get vectors, and it knows neither its name nor message."""

        def __init_subclass__(cls, **options):
            super().__init_subclass__(**options)
            for method in ("setup", "reshape", "forward", "backward"):
                if method in vars(cls):
                    setattr(cls, method, _with_vectors(vars(cls)[method]))

        def __getattribute__(self, name):
            caller = sys._getframe(1).f_globals["__name__"]
            if name in ("name", "layer_param") and not caller.startswith(ENGINE):
                raise AttributeError(f"a Python layer of the original has no '{name}'")
            return super().__getattribute__(name)
    return Layer


def _with_vectors(method):
    @functools.wraps(method)
    def call(self, *arguments):
        return method(self, *(
            each if isinstance(each, Vector) or not isinstance(each[:1], (list, tuple))
            or not each or isinstance(each[0], bool)
            else Vector([Blob(unwrap(blob)) for blob in each]) for each in arguments))
    return call


def _restricted_module(name, module):
    """A module `name` with the attributes of the engine's that the original has."""
    made = ModuleType(name)
    vars(made).update({each: getattr(module, each) for each in SURFACE[name]
                       if hasattr(module, each)})
    sys.modules[name] = made
    return made


_below = _engine()
for _name in ("init_log", "log", "set_device", "set_mode_cpu", "set_mode_gpu", "set_random_seed",
              "has_nccl", "solver_count", "solver_rank", "set_solver_count", "set_solver_rank",
              "set_multiprocess", "NetSpec", "layers", "params", "to_proto", "TEST", "TRAIN"):
    globals()[_name] = getattr(_below, _name)
Layer = _layer_class(_below.Layer)
for _name in ("io", "coord_map", "net_spec"):
    globals()[_name] = _restricted_module(f"caffe.{_name}",
                                          importlib.import_module(f"{ENGINE}.{_name}"))
proto = sys.modules["caffe.proto"] = importlib.import_module(f"{ENGINE}.proto")
sys.modules["caffe.proto.caffe_pb2"] = importlib.import_module(f"{ENGINE}.proto.caffe_pb2")
