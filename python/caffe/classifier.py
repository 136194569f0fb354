"""Classifier: a net that says what is in images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import io
from .context import TEST
from .engine.net import Net
from .io import Transformer
from .other_names import __getattr__  # noqa: F401  names that scripts find in the original's


class Classifier(Net):
    """A Net that classifies images of any size by their centre, or by ten crops.

    Parameters
    ----------
    model_file, pretrained_file : deploy prototxt and caffemodel
    image_dims : (height, width) that images are resized to before they are cropped to the net's
        input; default: the input's size
    mean, input_scale, raw_scale, channel_swap : of caffe.io.Transformer
    """

    def __init__(self, model_file: str, pretrained_file: str,
                 image_dims: Sequence[int] | None = None, mean: np.ndarray | None = None,
                 input_scale: float | None = None, raw_scale: float | None = None,
                 channel_swap: Sequence[int] | None = None) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer(self, mean, input_scale, raw_scale, channel_swap)
        name = self.inputs[0]
        self.crop_dims = np.array(self.blobs[name].data.shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else image_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """The net's scores (images, classes) for images (height, width, channels).

        With `oversample`, each is the mean over the corners, the centre and their mirror images;
        otherwise it is the centre's, in the shape of the net's output.
        """
        images = np.stack([io.resize_image(image, self.image_dims)
                           if tuple(image.shape[:2]) != tuple(self.image_dims) else image
                           for image in inputs]).astype(np.float32)
        crops = io.oversample(images, self.crop_dims) if oversample else self._centres(images)
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(None, **{name: data})[self.outputs[0]]
        if oversample:
            scores = scores.reshape(len(images), 10, -1).mean(1)
        return scores

    def _centres(self, images: np.ndarray) -> np.ndarray:
        top, left = (np.array(images.shape[1:3]) - self.crop_dims) // 2
        height, width = self.crop_dims
        return images[:, top:top + height, left:left + width]


def transformer(net: Net, mean: np.ndarray | None, input_scale: float | None,
                raw_scale: float | None, channel_swap: Sequence[int] | None) -> Transformer:
    """The Transformer of a net's first input that puts channels first; None leaves a step out."""
    name = net.inputs[0]
    made = io.Transformer({name: net.blobs[name].shape})
    made.set_transpose(name, (2, 0, 1))
    steps: list[tuple[Any, Callable]] = [
        (mean, made.set_mean), (input_scale, made.set_input_scale),
        (raw_scale, made.set_raw_scale), (channel_swap, made.set_channel_swap)]
    for value, setter in steps:
        if value is not None:
            setter(name, value)
    return made
