"""What the layers of a net from elsewhere may do beside computing, and who allows it."""

from __future__ import annotations

from pathlib import Path

from segdata.errors import UserError
from segdata.means import OF_LAYERS

MOST = 1 << 26          # bytes of a prototxt
# what a layer does, by its type in lower case without underscores, as old prototxts have it, too
DOES = {"python": ("runs the code of the module", "python_param", "module"),
        "hdf5output": ("writes over the file", "hdf5_output_param", "file_name"),
        **{kind: ("reads what is listed in, or is", f"{parameters}_param", "source")
           for kind, parameters in (("data", "data"), ("hdf5data", "hdf5_data"),
                                    ("imagedata", "image_data"), ("images", "image_data"),
                                    ("windowdata", "window_data"))}}


class TrustError(UserError):
    """A net that may do more than compute."""


def check(prototxt: str | Path, own_data: bool = False) -> None:
    """Raise TrustError, naming the layer, where a net does more than compute: runs code, writes
    files, or reads files of its choice.

    own_data : whether the project's own data layers may read theirs, as for scoring
    """
    for layer in layers_of(Path(prototxt)):
        kind = type_of(layer)
        if kind in DOES and not (own_data and kind == "python"
                                 and layer.python_param.module in OF_LAYERS):
            does, parameters, field = DOES[kind]
            what = getattr(getattr(layer, parameters, None), field, "?")
            raise TrustError(f"{prototxt}: layer '{layer.name}' ({kind}) {does} '{what}'. Nothing "
                             "has been run. If you trust whoever wrote the prototxt, add --trust; "
                             "a deploy prototxt needs no such layer")


def layers_of(prototxt: Path) -> list:
    """The layers of a prototxt, of the current or an older form."""
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2
    try:
        if not prototxt.is_file() or prototxt.stat().st_size > MOST:
            raise ValueError(f"expected a plain file of at most {MOST:,} bytes")
        net = text_format.Parse(prototxt.read_bytes().decode("utf-8-sig", "replace"),
                                caffe_pb2.NetParameter())
    except Exception as error:
        raise TrustError(f"{prototxt}: not a prototxt of a net: {error}") from None
    return [*net.layer, *(inner for old in net.layers
                          for inner in ([old.layer] if old.HasField("layer") else [old]))]


def type_of(layer: object) -> str:
    """A layer's type, or that of V1, a number, in lower case without underscores."""
    from caffe.proto import caffe_pb2
    given = getattr(layer, "type")      # noqa: B009  of three messages
    if not isinstance(given, str):
        given = caffe_pb2.V1LayerParameter.LayerType.Name(given)
    return given.lower().replace("_", "")
