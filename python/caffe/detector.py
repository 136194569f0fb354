"""Detector: a net that says what is in windows of images (R-CNN, Girshick et al. 2014)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from . import io
from .classifier import transformer
from .context import TEST
from .engine.net import Net
from .errors import CaffeError
from .other_names import __getattr__  # noqa: F401  names that scripts find in the original's


class Detector(Net):
    """A Net that scores windows of images.

    Parameters
    ----------
    model_file, pretrained_file : deploy prototxt and caffemodel
    mean, input_scale, raw_scale, channel_swap : of caffe.io.Transformer
    context_pad : pixels of surroundings in the net's input, on each side; what lies beyond the
        image is the mean; default: none. The input is taken to be square
    """

    def __init__(self, model_file: str, pretrained_file: str, mean: np.ndarray | None = None,
                 input_scale: float | None = None, raw_scale: float | None = None,
                 channel_swap: Sequence[int] | None = None, context_pad: int | None = None) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple]) -> list[dict]:
        """Score windows.

        images_windows : iterable of (image file name, array of windows (ymin, xmin, ymax, xmax))

        Returns a list of {"window", "prediction", "filename"}, one for each window; the prediction
        is what the net's first output holds for it. Raises CaffeError for a window without a pixel
        of its image.
        """
        places, data = [], []
        name = self.inputs[0]
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                try:
                    crop = self.crop(image, window)
                except CaffeError as error:
                    raise CaffeError(f"{filename}: {error}") from None
                places.append((window, filename))
                data.append(self.transformer.preprocess(name, crop))
        if not data:
            return []
        scores = self.forward_all(None, **{name: np.stack(data)})[self.outputs[0]]
        return [{"window": window, "prediction": score, "filename": filename}
                for (window, filename), score in zip(places, scores)]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[dict]:
        """Not available: the original calls MATLAB for its proposals."""
        raise CaffeError("selective search needs MATLAB code that is not part of this project; "
                         "give windows of your own to detect_windows")

    def crop(self, im: np.ndarray, window: Sequence[float]) -> np.ndarray:
        """The window (ymin, xmin, ymax, xmax) of an image, with its surroundings if context_pad.

        Raises CaffeError for a window without a pixel of the image.
        """
        begin, end = np.array(window[:2]), np.array(window[2:])
        if not self.context_pad:
            return _pixels(im, begin, end)
        return self._with_surroundings(im, begin, end)

    def _with_surroundings(self, im: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The window, grown so that it fills the net's input but for context_pad on each side.

        As in R-CNN, a window's last row and column count as part of it.
        """
        size = self.blobs[self.inputs[0]].width
        half = (end - begin + 1) / 2
        grown = half * (size / (size - 2 * (self.context_pad or 0)))
        first = np.round(begin + half - grown).astype(int)
        last = np.round(begin + half + grown).astype(int)
        pixels = _pixels(im, first, last)
        scale = size / (last - first + 1)
        offset = np.round(np.maximum(-first, 0) * scale).astype(int)
        first, last = (np.clip(corner, 0, im.shape[:2]) for corner in (first, last))
        extent = np.round((last - first + 1) * scale).astype(int)
        extent = np.minimum(extent, size - offset)
        crop = self.crop_mean.astype(np.float32)
        place = tuple(slice(o, o + e) for o, e in zip(offset, extent))
        crop[place] = io.resize_image(pixels, extent)
        return crop

    def configure_crop(self, context_pad: int | None) -> None:
        """Take `context_pad` pixels of surroundings around windows from now on."""
        name = self.inputs[0]
        shape = self.blobs[name].data.shape[1:]
        self.context_pad = context_pad
        # the mean in the image's own form: channels last, in its order, before the raw scale
        mean = np.broadcast_to(self.transformer.mean.get(name, 0), shape)
        if name in self.transformer.channel_swap:
            mean = mean[np.argsort(self.transformer.channel_swap[name])]
        mean = mean.transpose(np.argsort(self.transformer.transpose[name]))
        self.crop_mean = mean / self.transformer.raw_scale.get(name, 1)
        self.crop_dims = np.array(mean.shape)


def _pixels(image: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """What an image (height, width, ...) holds from the corner `begin` up to the corner `end`."""
    corners = np.clip([begin, end], 0, image.shape[:2]).astype(int)
    if (corners[0] >= corners[1]).any():
        raise CaffeError(f"the window from {tuple(map(float, begin))} to {tuple(map(float, end))} "
                         f"has no pixel of the image of {image.shape[0]} x {image.shape[1]}")
    return image[tuple(map(slice, *corners))]
