"""Crops whose offset the forks of 2015 computed: written down as crop_param.

In these forks (CRF-RNN's, DeconvNet's, the first of FCN) a Crop had no parameters: its offset
followed from where the coordinates of one bottom lie in those of the other. In Caffe 1.0 a Crop
without crop_param has the offset 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import coord_map
from ..errors import PrototxtError
from ..log import logger
from ..net_spec import Function, Top

if TYPE_CHECKING:
    from ..proto import caffe_pb2

_NO_ALIGNMENT = (coord_map.UndefinedMapException, coord_map.AxisMismatchException,
                 coord_map.MisalignedException)


def align_crops(param: caffe_pb2.NetParameter, is_certain: bool) -> None:
    """Give each Crop without crop_param the offset that aligns its two bottoms, in place.

    is_certain : whether the net can only be one of these forks'. If not, a Crop whose bottoms
        cannot be aligned is left as it is. Otherwise it is a PrototxtError.
    """
    blobs = {name: Function("Input", [], {}).tops[0] for name in param.input}
    for layer in param.layer:
        bottoms = [blobs.get(name) or Function("Unknown", [], {}).tops[0]
                   for name in layer.bottom]
        if layer.type == "Crop" and not layer.HasField("crop_param") and len(bottoms) == 2:
            _align(layer, bottoms, is_certain)
        function = Function(layer.type, bottoms, _params(layer))
        blobs.update((name, Top(function, i)) for i, name in enumerate(layer.top))


def _align(layer: caffe_pb2.LayerParameter, bottoms: list[Top], is_certain: bool) -> None:
    try:
        found = coord_map.crop(*bottoms).fn.params["crop_param"]
    except _NO_ALIGNMENT as error:
        if is_certain:
            raise PrototxtError(f"layer '{layer.name}' (Crop) has no crop_param, and its offset "
                                f"cannot be computed from '{layer.bottom[0]}' to "
                                f"'{layer.bottom[1]}': {error}; give it as crop_param {{ offset: "
                                "... }") from None
        return
    layer.crop_param.axis = found["axis"]
    layer.crop_param.offset.extend(found["offset"])
    logger.info("Layer '%s' (Crop) has no crop_param: it is taken for that of a fork of 2015, "
                "which aligns '%s' with '%s': offset %s. Caffe 1.0's is crop_param { offset: 0 }",
                layer.name, *layer.bottom, found["offset"])


def _params(layer: caffe_pb2.LayerParameter) -> dict[str, Any]:
    """The parameters from which coordinate maps follow, as NetSpec has them."""
    return {name: {field.name: list(value) if hasattr(value, "append") else value
                   for field, value in getattr(layer, name).ListFields() if not field.message_type}
            for name in ("convolution_param", "pooling_param", "crop_param", "interp_param")
            if layer.HasField(name)}
