"""Detector: a net that says what is in windows of images (R-CNN, Girshick et al. 2014)."""

import numpy as np

from . import io
from .classifier import transformer
from .context import TEST
from .engine.net import Net
from .errors import CaffeError


class Detector(Net):
    """A Net that scores windows of images.

    Parameters
    ----------
    model_file, pretrained_file : deploy prototxt and caffemodel
    mean, input_scale, raw_scale, channel_swap : of caffe.io.Transformer
    context_pad : pixels of surroundings in the net's input, on each side; what lies beyond the
        image is the mean
    """

    def __init__(self, model_file, pretrained_file, mean=None, input_scale=None, raw_scale=None,
                 channel_swap=None, context_pad=None):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows):
        """Score windows.

        images_windows : iterable of (image file name, array of windows (ymin, xmin, ymax, xmax))

        Returns a list of {"window", "prediction", "filename"}, one for each window.
        """
        places, data = [], []
        name = self.inputs[0]
        for filename, windows in images_windows:
            image = io.load_image(filename).astype(np.float32)
            for window in windows:
                places.append((window, filename))
                data.append(self.transformer.preprocess(name, self.crop(image, window)))
        if not data:
            return []
        scores = self.forward_all(**{name: np.stack(data)})[self.outputs[0]]
        scores = scores.reshape(scores.shape[:2]) if scores.ndim == 4 else scores
        return [{"window": window, "prediction": score, "filename": filename}
                for (window, filename), score in zip(places, scores)]

    def detect_selective_search(self, image_fnames):
        """Not available: the original calls MATLAB for its proposals."""
        raise CaffeError("selective search needs MATLAB code that is not part of this project; "
                         "give windows of your own to detect_windows")

    def crop(self, im, window):
        """The window (ymin, xmin, ymax, xmax) of an image, with its surroundings if context_pad."""
        begin, end = np.array(window[:2]), np.array(window[2:])
        if not self.context_pad:
            return im[int(begin[0]):int(end[0]), int(begin[1]):int(end[1])]
        return self._with_surroundings(im, begin, end)

    def _with_surroundings(self, im, begin, end):
        """The window, grown so that it fills the net's input but for context_pad on each side.

        As in R-CNN, a window's last row and column count as part of it.
        """
        size = self.blobs[self.inputs[0]].width
        half = (end - begin + 1) / 2
        grown = half * size / (size - 2 * self.context_pad)
        first = np.round(begin + half - grown).astype(int)
        last = np.round(begin + half + grown).astype(int)
        scale = size / (last - first + 1)
        offset = np.round(np.maximum(-first, 0) * scale).astype(int)
        first, last = (np.clip(corner, 0, im.shape[:2]) for corner in (first, last))
        extent = np.round((last - first + 1) * scale).astype(int)
        extent = np.minimum(extent, size - offset)
        crop = np.full((size, size, im.shape[2]), self.crop_mean, np.float32)
        crop[tuple(slice(o, o + e) for o, e in zip(offset, extent))] = io.resize_image(
            im[first[0]:last[0], first[1]:last[1]], extent)
        return crop

    def configure_crop(self, context_pad):
        """Take `context_pad` pixels of surroundings around windows from now on."""
        name = self.inputs[0]
        self.context_pad = context_pad
        if not context_pad:
            return
        transpose = self.transformer.transpose[name]
        swap = self.transformer.channel_swap.get(name)
        mean = self.transformer.mean.get(name)
        if mean is None:
            self.crop_mean = 0
            return
        # the image's own form: channels last, in the image's order, before the raw scale
        mean = np.broadcast_to(mean, self.blobs[name].shape[1:])
        if swap is not None:
            mean = mean[np.argsort(swap)]
        mean = mean.transpose(np.argsort(transpose))
        self.crop_mean = mean / self.transformer.raw_scale.get(name, 1)
