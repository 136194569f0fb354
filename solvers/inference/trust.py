"""What the layers of a net from elsewhere may do beside computing, and who allows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segdata.errors import UserError
from segdata.means import OF_LAYERS

MOST_BYTES = 1 << 26          # bytes of a prototxt
# By types in lower case without underscores, as prototxts of 2013 and 2014 have them, too.
_COMPUTING = """
    absval accuracy argmax axpy batchnorm batchreindex bias bn bnll clip concat contrastiveloss
    convolution convolutiondepthwise crop deconvolution densecrf depthwiseconvolution
    detectionoutput dropout dummydata eltwise eltwiseaccuracy elu embed euclideanloss exp filter
    flatten hingeloss im2col infogainloss innerproduct input interp log lrn lstm lstmunit memorydata
    multinomiallogisticloss multistagemeanfield mvn normalize parameter permute pooling power prelu
    priorbox psroipooling reduction relu relu6 reshape rnn roipooling scale segaccuracy sigmoid
    sigmoidcrossentropyloss silence slice smoothl1loss softmax softmaxloss softmaxwithloss split spp
    swish tanh threshold tile unpooling upsample
    conv padding pool"""        # the last line: of 2013 alone
COMPUTES = frozenset(_COMPUTING.split())
READS = "reads what is listed in, or is"
DOES = {"python": "runs the code of the module", "hdf5output": "writes over the file",
        "matwrite": "writes files that begin with",
        **dict.fromkeys(("data", "denseimagedata", "hdf5data", "imagedata", "images",
                         "imagesegdata", "windowdata", "windowsegdata"), READS)}
# fields that name a file, or code, of any layer; the message names the first that is given
NAMES = ("module", "file_name", "prefix", "output_directory", "source", "weight_source",
         "mean_file", "meanfile")


class TrustError(UserError):
    """A net that may do more than compute."""


def check(prototxt: str | Path, own_data: bool = False) -> None:
    """Raise TrustError, naming the layer, where a net does more than compute: runs code, writes
    files, or reads files of its choice.

    own_data : whether the project's own data layers may read theirs, as for scoring
    """
    for layer in layers_of(Path(prototxt)):
        kind, names = type_of(layer), _names(layer)
        if kind in COMPUTES and not names or (own_data and kind == "python"
                                              and layer.python_param.module in OF_LAYERS):
            continue
        field, name = next(((field, names[field]) for field in NAMES if field in names), ("", "?"))
        writes = field == "output_directory"
        does = f"{'writes files into' if writes else DOES.get(kind, READS)} '{name}'"
        if kind not in DOES and kind not in COMPUTES:
            does = "is of a type of which is not known that it only computes"
        raise TrustError(f"{prototxt}: layer '{layer.name}' ({kind}) {does}. Nothing has been run. "
                         "If you trust whoever wrote the prototxt, add --trust; a deploy prototxt "
                         "needs no such layer")


def _names(message: Any) -> dict[str, str]:
    """{field: value} of the NAMES in a layer and its parameters."""
    found: dict[str, str] = {}
    for field, value in message.ListFields():
        if field.name in NAMES and value:
            found[field.name] = value
        elif hasattr(value, "ListFields"):
            found.update(_names(value))
    return found


def layers_of(prototxt: Path) -> list:
    """The layers of a prototxt, of the current or an older form."""
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2
    try:
        if not prototxt.is_file() or prototxt.stat().st_size > MOST_BYTES:
            raise ValueError(f"expected a plain file of at most {MOST_BYTES:,} bytes")
        text = prototxt.read_bytes().decode("utf-8-sig", "replace")
        if "\0" in text:
            raise ValueError("it is a binary file, such as a caffemodel")
        net = text_format.Parse(text, caffe_pb2.NetParameter())
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
