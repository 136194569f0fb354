"""NetSpec: nets written in Python, as in pycaffe.

    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 224, 224]))
    n.conv = L.Convolution(n.data, num_output=64, kernel_size=3, param=[dict(lr_mult=1)])
    n.relu = L.ReLU(n.conv, in_place=True)
    n.to_proto()                      # a NetParameter; str() of it is the prototxt

A keyword of a layer that LayerParameter has is set there (`param`, `loss_param`, `include`);
any other belongs to the type's own parameter (`num_output` to `convolution_param`).
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import PrototxtError, did_you_mean
from .formats.forks import whose
from .layer_types import LAYER_TYPES
from .other_names import __getattr__  # noqa: F401  names that scripts find in the original's
from .proto import caffe_pb2


def param_name_dict() -> dict[str, str]:
    """{layer type: name of its parameter field}, e.g. {'Convolution': 'convolution'}.

    The message type gives the layer's name: convolution_param is a ConvolutionParameter.
    """
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    return {field.message_type.name[:-len("Parameter")]: field.name[:-len("_param")]
            for field in fields if field.name.endswith("_param")}


class UnknownFieldError(PrototxtError, AttributeError):
    """A keyword that no field takes. (pycaffe raises AttributeError.)"""


class UnknownTopError(AttributeError, KeyError):
    """A name that no top of the net has. (pycaffe raises KeyError.)"""

    __str__ = Exception.__str__    # KeyError's would quote the sentence


_param_names = param_name_dict()
# layers whose parameters are those of another type
_param_names.update(Deconvolution="convolution", Im2col="convolution",
                    LSTM="recurrent", RNN="recurrent")


def layer_types() -> list[str]:
    """The names of all layer types, sorted, with those that a script has registered; to ask for
    them loads no torch."""
    engine = sys.modules.get(f"{__package__}.engine.layers")
    registered = engine.layer_type_list() if engine else ()
    return sorted({*LAYER_TYPES, *registered})


def own_parameter(layer_type: str) -> str | None:
    """The field of LayerParameter with a layer type's own parameters, None if it has none."""
    name = _param_names.get(layer_type)
    return name and name + "_param"


def to_proto(*tops: Top) -> caffe_pb2.NetParameter:
    """The NetParameter of all layers that `tops` depend on, automatically named."""
    layers: OrderedDict = OrderedDict()
    names: dict[Top, str] = {}
    counts: Counter = Counter()
    for top in tops:
        top.fn._to_proto(layers, names, counts)
    net = caffe_pb2.NetParameter()
    net.layer.extend(layers.values())
    return net


def assign_proto(proto: Any, name: str, value: Any) -> None:
    """Set a field from Python: dicts are messages, lists repeated fields, str names an enum.

    A repeated field also takes a single value, and messages as they are. Raises
    UnknownFieldError, a PrototxtError, for a field that the message does not have.
    """
    fields = proto.DESCRIPTOR.fields_by_name
    if name not in fields:
        raise UnknownFieldError(f"{proto.DESCRIPTOR.name} has no field '{name}'"
                                + did_you_mean(name, fields))
    target = getattr(proto, name)
    if hasattr(target, "extend"):
        for entry in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(entry, dict):
                _assign_message(target.add(), entry)
            else:
                target.append(entry)
    elif fields[name].message_type:
        _assign_message(target, value)
    elif isinstance(value, (dict, list, tuple)):
        text = f"; text of it is {name}=str(...)" if isinstance(target, str) else ""
        raise TypeError(f"{proto.DESCRIPTOR.name}.{name} is a single value, not {value!r}{text}")
    else:
        setattr(proto, name, value)


def _assign_message(message: Any, value: Any) -> None:
    if not isinstance(value, dict):
        raise TypeError(f"{message.DESCRIPTOR.name} is given as a dict, not as {value!r}")
    for name, entry in value.items():
        assign_proto(message, name, entry)


class Top:
    """Output number `n` of the layer `fn`."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The NetParameter of all layers that this top depends on."""
        return to_proto(self)

    def _update(self, params: Mapping[str, Any]) -> None:
        self.fn._update(params)

    def _to_proto(self, layers: OrderedDict, names: dict[Top, str], counts: Counter) -> None:
        return self.fn._to_proto(layers, names, counts)


class Function:
    """A layer: its type, its bottoms, its keywords, and the tops that it makes."""

    def __init__(self, type_name: str, inputs: Sequence[Top], params: dict) -> None:
        self.type_name = type_name
        for index, top in enumerate(inputs):
            if not isinstance(top, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(top)})")
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))
        # what cannot be written fails here, at the line of the script that is wrong
        self._assign(caffe_pb2.LayerParameter(type=type_name), type_name)

    def _update(self, params: Mapping[str, Any]) -> None:
        self.params.update(params)

    def _automatic_name(self, thing: Top | Function, names: dict, counts: Counter) -> str:
        if thing not in names:
            counts[self.type_name] += 1
            names[thing] = self.type_name + str(counts[self.type_name])
        return names[thing]

    def _to_proto(self, layers: OrderedDict, names: dict, counts: Counter) -> None:
        """Append the LayerParameter to `layers`, after those of the inputs."""
        if self in layers:
            return
        bottoms = []
        for source in self.inputs:
            source._to_proto(layers, names, counts)
            bottoms.append(layers[source.fn].top[source.n])
        layer = caffe_pb2.LayerParameter(type=self.type_name, bottom=bottoms)
        layer.top.extend(bottoms if self.in_place else
                         [self._automatic_name(top, names, counts) for top in self.tops])
        first = self.tops[0] if self.tops else self
        layer.name = self._automatic_name(first, names, counts)
        self._assign(layer, f"layer '{layer.name}' ({self.type_name})")
        layers[self] = layer

    def _assign(self, layer: caffe_pb2.LayerParameter, place: str) -> None:
        """Set the fields of a LayerParameter; `place` is where errors say they are."""
        fields = layer.DESCRIPTOR.fields_by_name
        own = own_parameter(self.type_name) or ""
        known = [*fields, *(fields[own].message_type.fields_by_name if own else ())]
        try:
            for key, value in self.params.items():
                if key not in known:
                    about = _about_type(self.type_name)
                    raise UnknownFieldError(
                        f"{fields[own].message_type.name if own else 'it'} has no field '{key}'"
                        + (whose(key) or ("" if about else did_you_mean(key, known))) + about)
                assign_proto(layer if key in fields else getattr(layer, own), key, value)
        except (PrototxtError, TypeError, ValueError) as error:
            raise type(error)(f"{place}: {error}") from None


def _about_type(name: str) -> str:
    """What to say of a layer type that the engine does not have; '' of one that it has."""
    if name in layer_types():
        return ""
    return f". There is no layer type '{name}'" + (whose(name) or did_you_mean(name, layer_types()))


class NetSpec:
    """A net in the making: assigning a Top names its blob and its layer."""

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise UnknownTopError(f"the net has no top '{name}'"
                                  + did_you_mean(name, self.tops)) from None

    def __setitem__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def keys(self) -> list[str]:
        """The names of the tops, in the order in which they were assigned."""
        return list(self.tops)

    def vals(self) -> list[Top]:
        """The tops, in the order of keys."""
        return list(self.tops.values())

    def update(self, name: str, params: dict) -> None:
        """Set further keywords of the layer that makes the top `name`, from a dict."""
        self.tops[name]._update(params)

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The NetParameter of the net, layers named after their (first) tops."""
        names = {top: name for name, top in self.tops.items()}
        layers: OrderedDict = OrderedDict()
        counts: Counter = Counter()
        for top in self.tops.values():
            top._to_proto(layers, names, counts)
        net = caffe_pb2.NetParameter()
        net.layer.extend(layers.values())
        return net


class Layers:
    """`L.Type(*bottoms, **parameters)`: the Top, or tuple of Tops, of a new layer.

    Raises UnknownFieldError for a parameter that the type does not have. A type that the engine
    does not have takes the fields of LayerParameter: others may have it, and run what is written.
    """

    def __dir__(self) -> list[str]:
        return layer_types()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):        # what editors and debuggers ask any object for
            raise AttributeError(f"there is no layer type '{name}'")

        def layer(*args: Top, **kwargs: Any) -> Any:
            function = Function(name, args, kwargs)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops
        return layer


class Parameters:
    """`P.Pooling.MAX`: values of the enums of a layer type's parameter."""

    def __dir__(self) -> list[str]:
        messages = caffe_pb2.NetParameter.DESCRIPTOR.file.message_types_by_name
        return [name[:-len("Parameter")] for name in messages if name.endswith("Parameter")]

    def __getattr__(self, name: str) -> Any:
        if name not in dir(self):
            raise AttributeError(f"there is no {name}Parameter" + did_you_mean(name, dir(self)))
        return getattr(caffe_pb2, name + "Parameter")


if TYPE_CHECKING:
    # editors read there what each type takes
    from .layer_stubs import layers, params
else:
    layers = Layers()
    params = Parameters()
