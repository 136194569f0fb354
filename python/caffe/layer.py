"""caffe.Layer: the protocol that every layer follows, built in or written in Python."""

from .errors import LayerError
from .vectors import BlobVec


class Layer:
    """One step of a net. Subclass it for a Python layer (pycaffe's `caffe.Layer`).

    A layer gets its bottom and top blobs in lists; `blob.data` and `blob.diff` are NumPy arrays.

    Attributes
    ----------
    layer_param : the LayerParameter of the prototxt
    param_str : str, a Python layer's own parameters; data, never evaluated by the engine
    phase : caffe.TRAIN or caffe.TEST
    blobs : the layer's parameters, a list of Blob with `add_blob(*shape)`
    """

    blobs = ()      # of the class alone; each layer has its own

    def __init__(self, layer_param):
        self.layer_param = layer_param
        self.name = layer_param.name
        self.phase = layer_param.phase
        self.param_str = layer_param.python_param.param_str
        self.blobs = BlobVec()

    @property
    def type(self):
        """The layer's type in the prototxt, e.g. 'Convolution'."""
        return self.layer_param.type

    def setup(self, bottom, top):
        """Called once, before the first reshape: check parameters, create `blobs`."""

    def reshape(self, bottom, top):
        """Called before every forward: give each top its shape."""

    def forward(self, bottom, top):
        """Fill `top[i].data` from `bottom[i].data`."""
        raise LayerError(f"layer '{self.name}' ({type(self).__name__}) defines no forward()")

    def backward(self, top, propagate_down, bottom):
        """Fill `bottom[i].diff` where `propagate_down[i]`, and add to the diffs of `blobs`."""
        raise LayerError(f"layer '{self.name}' ({type(self).__name__}) defines no backward()")
