"""A net's weights: taken from files and other nets, and written to files."""

from ..errors import WeightsError
from ..log import logger
from ..proto import caffe_pb2
from ..formats import hdf5, caffemodel as binary
from .builder import AUTOMATIC


class Weights:
    """What a net does with the parameters that it was built with."""

    def copy_from(self, weights):
        """Take the parameters of layers of equal names from a caffemodel, binary or HDF5.

        Layers that only one side has are left alone. Raises WeightsError if the file cannot be
        read or a parameter does not fit; the net is then unchanged.
        """
        files = hdf5 if hdf5.is_hdf5(weights) else binary
        copies = []
        for name, arrays in files.read_caffemodel(weights):
            if name not in self.layer_dict:
                logger.info("Ignoring source layer %s", name)
            if name not in self.params:
                continue
            blobs = self.params[name]
            if len(arrays) != len(blobs):
                raise WeightsError(f"{weights}: layer '{name}' has {len(arrays)} parameters, in "
                                   f"{self._source} it has {len(blobs)}")
            for i, (blob, array) in enumerate(zip(blobs, arrays)):
                if array is None and blob in self._borrowed:
                    continue        # its owner has it
                shape = "no values" if array is None else f"the shape {array.shape}"
                if array is None or not binary.same_shape(array.shape, blob.shape):
                    raise WeightsError(f"{weights}: parameter {i} of layer '{name}' has {shape}, "
                                       f"in {self._source} it has {blob.shape}")
                copies.append((blob, array))
        for blob, array in copies:
            blob.data[...] = array.reshape(blob.shape)

    def share_with(self, other):
        """Use the parameters of `other` for layers of equal names, now and after updates."""
        for name, blobs in other.params.items():
            for i, (mine, theirs) in enumerate(zip(self.params.get(name, ()), blobs)):
                if mine.shape != theirs.shape:
                    raise WeightsError(f"cannot share parameter {i} of layer '{name}': its shape "
                                       f"is {mine.shape} in {self._source} and {theirs.shape} in "
                                       f"{other._source}")
                mine.share_data(theirs)

    def load_weights(self, paths):
        """Take the parameters of several caffemodels, one after the other."""
        for path in paths:
            self.copy_from(path)

    def save(self, path):
        """Write the net with its parameters to `path`, a binary caffemodel."""
        self._save(binary, path)

    def save_hdf5(self, path):
        """Write the parameters to `path`, a caffemodel in HDF5."""
        self._save(hdf5, path)

    def load_hdf5(self, path):
        """Take the parameters of layers of equal names from a caffemodel in HDF5."""
        self.copy_from(path)

    def _save(self, files, path, diffs=False):
        if files is binary:
            param = caffe_pb2.NetParameter()
            param.CopyFrom(self._param)
            for spec in param.layer:
                if AUTOMATIC in spec.top:
                    del spec.top[:]
            binary.write_caffemodel(path, param, self.layers, diffs)
        else:
            hdf5.write_caffemodel(path, self._layer_names, self.layers, self._borrowed, diffs)
