"""The Python layer that ENet's published prototxts name: dropout of whole channels."""

from collections.abc import Sequence

import numpy as np

import caffe
from segdata.errors import DataError
from segdata.lists import literal


class SpatialDropoutLayer(caffe.Layer):
    """Each channel of each image is 0 with probability p, else multiplied by 1 / (1 - p).

    `param_str` is a dictionary literal with the keys

        phase   'TRAIN'; with any other nothing is dropped, and all is multiplied, as published
        p       above 0, below 1
    """

    def setup(self, bottom: Sequence, top: Sequence) -> None:
        if len(bottom) != 1 or len(top) != 1:
            raise self.error(f"expected one bottom and one top, got {len(bottom)} and {len(top)}")
        try:
            params = dict(literal(self.param_str))
            self.drops, share = params["phase"] == "TRAIN", float(params["p"])
            if not 0 < share < 1:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise self.error("expected a param_str such as {'phase': 'TRAIN', 'p': '0.1'}, with p "
                             f"above 0 and below 1, got {self.param_str!r}") from None
        self.kept = 1 - share
        self.random = np.random.RandomState(np.random.randint(2 ** 31))
        self.factor = np.ones(())

    def reshape(self, bottom: Sequence, top: Sequence) -> None:
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom: Sequence, top: Sequence) -> None:
        x = bottom[0].data
        shape = (*x.shape[:2], *(1,) * (x.ndim - 2))
        drawn = self.random.binomial(1, self.kept, shape) if self.drops else np.ones(shape)
        self.factor = (drawn / self.kept).astype(np.float32)
        top[0].data[...] = x * self.factor

    def backward(self, top: Sequence, propagate_down: Sequence, bottom: Sequence) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.factor

    def error(self, message: object) -> DataError:
        return DataError(f"layer '{getattr(self, 'name', '?')}' (SpatialDropoutLayer): {message}")
