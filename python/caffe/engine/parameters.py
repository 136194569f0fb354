"""A net's weights: taken from files and other nets, and written to files."""

from ..errors import WeightsError
from ..formats import caffemodel as binary
from ..formats import hdf5
from ..log import logger
from ..proto import caffe_pb2
from .builder import AUTOMATIC


class Weights:
    """What a net does with the parameters that it was built with."""

    def copy_from(self, weights: str) -> None:
        """Take the parameters of layers of equal names from a caffemodel, binary or HDF5.

        Layers that only one side has are left alone. Raises WeightsError if the file cannot be
        read or a parameter does not fit; the net is then unchanged.
        """
        files = hdf5 if hdf5.is_hdf5(weights) else binary
        copies = []
        for name, arrays in files.read_caffemodel(weights):
            if name not in self.layer_dict:
                logger.info("Ignoring source layer %s", name)
                continue
            blobs = self.params.get(name, ())
            if files is hdf5:       # which leaves out what belongs to other layers
                arrays += [None] * (len(blobs) - len(arrays))
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

    def share_with(self, other: "Weights") -> None:
        """Use the parameters of `other` for layers of equal names, now and after updates.

        Raises WeightsError where they do not fit in number or shape; nothing is shared then.
        """
        pairs = []
        for name, theirs in other.params.items():
            mine = self.params.get(name, ())
            if name in self.layer_dict and len(mine) != len(theirs):
                raise WeightsError(f"cannot share the parameters of layer '{name}': "
                                   f"{self._source} has {len(mine)} of them, {other._source} "
                                   f"{len(theirs)}")
            for i, (blob, source) in enumerate(zip(mine, theirs)):
                if blob.shape != source.shape:
                    raise WeightsError(f"cannot share parameter {i} of layer '{name}': its shape "
                                       f"is {blob.shape} in {self._source} and {source.shape} in "
                                       f"{other._source}")
                pairs.append((blob, source))
        for blob, source in pairs:
            blob.share_data(source)

    def load_weights(self, paths: list[str]) -> None:
        """Take the parameters of several caffemodels, one after the other."""
        for path in paths:
            self.copy_from(path)

    def save(self, path: str) -> None:
        """Write the net with its parameters to `path`, a binary caffemodel."""
        self._save(binary, path)

    def save_hdf5(self, path: str) -> None:
        """Write the parameters to `path`, a caffemodel in HDF5. Raises WeightsError for names of
        layers that HDF5 cannot keep."""
        self._save(hdf5, path)

    def load_hdf5(self, path: str) -> None:
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
