"""transform_param: what data layers do to each image."""

from __future__ import annotations

import copy

import numpy as np

from ....context import TRAIN
from ....errors import LayerError
from ....formats.caffemodel import read_blobproto
from ....proto import caffe_pb2


class Transform:
    """Crop, subtract the mean, scale, mirror: y = (x - mean) * scale.

    Crops lie anywhere in TRAIN and in the centre in TEST; a mean image is cropped with the image.
    Mirroring is by chance, in both phases.

    Parameters
    ----------
    param : TransformationParameter
    phase : caffe.TRAIN or caffe.TEST
    random : numpy Generator

    Raises LayerError for options that contradict each other, or do not fit an image.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, phase: int,
                 random: np.random.Generator) -> None:
        if param.mean_file and param.mean_value:
            raise LayerError("expected mean_file or mean_value, got both")
        if param.force_color and param.force_gray:
            raise LayerError("expected force_color or force_gray, got both")
        self.param, self.phase, self.random = param, phase, random
        self.mean: np.ndarray | None = None
        if param.mean_file:
            mean = np.array(read_blobproto(param.mean_file), np.float32)
            if mean.size != np.prod(mean.shape[-3:]):
                raise LayerError(f"{param.mean_file}: expected one mean image, got the shape "
                                 f"{mean.shape}")
            self.mean = mean.reshape(mean.shape[-3:])
        elif param.mean_value:
            self.mean = np.array(param.mean_value, np.float32)[:, None, None]

    @property
    def color(self) -> bool | None:
        """What encoded images become: True for colour, False for grey, None for what they are."""
        return True if self.param.force_color else False if self.param.force_gray else None

    def drawing_from(self, random: np.random.Generator) -> Transform:
        """The same with another random generator."""
        other = copy.copy(self)
        other.random = random
        return other

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a transformed image of `shape` (channels, height, width)."""
        crop = self.param.crop_size
        if crop and min(shape[1:]) < crop:
            raise LayerError(f"a crop_size of {crop} does not fit into an image of {shape}")
        if self.mean is not None and self.param.mean_file and self.mean.shape != shape:
            raise LayerError(f"the mean in {self.param.mean_file} has the shape "
                             f"{self.mean.shape}, an image {shape}")
        if self.mean is not None and len(self.mean) not in (1, shape[0]):
            raise LayerError(f"expected one mean_value, or one for each of {shape[0]} channels, "
                             f"got {len(self.mean)}")
        return (shape[0], crop, crop) if crop else shape

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """An image (channels, height, width), transformed, as float32."""
        _, height, width = self.shape(image.shape)
        top, left = self._corner(image.shape[1] - height, image.shape[2] - width)
        window = slice(None), slice(top, top + height), slice(left, left + width)
        out = image[window].astype(np.float32)
        if self.mean is not None:
            out -= self.mean[window] if self.param.mean_file else self.mean
        if self.param.scale != 1:
            out *= np.float32(self.param.scale)
        return out[:, :, ::-1] if self.mirrors() else out

    def mirrors(self) -> bool:
        """Whether this image is to be mirrored."""
        return self.param.mirror and self.random.integers(2) == 1

    def _corner(self, down: int, right: int) -> tuple[int, int]:
        if self.phase == TRAIN:
            return int(self.random.integers(down + 1)), int(self.random.integers(right + 1))
        return down // 2, right // 2
