"""Sources whose samples pass through a further layer, between the data and the net."""

from dataclasses import dataclass

from caffe import layers as L
from fcn.nets.source import Source


@dataclass(frozen=True)
class Filtered(Source):
    """A Source of an image and a label, which pass through a Python layer of analysis.layers.

    layer, layer_params : its class, and its param_str but for start
    splits : those in which they do
    """
    layer: str = ""
    layer_params: tuple = ()
    splits: tuple = ("train", "val")

    def tops(self, split, start=0):
        tops = super().tops(split, **({"start": start} if start else {}))
        if split not in self.splits:
            return tops
        params = {**dict(self.layer_params), "start": start}
        layer = L.Python(*tops.values(), module="fcn.analysis.layers", layer=self.layer,
                         ntop=len(tops), param_str=str(params))
        return dict(zip(tops, layer))


def filtered(source, layer, splits=("train", "val"), **params):
    """The Source with its image and label passed through a layer of analysis.layers."""
    return Filtered(**vars(source), layer=layer, layer_params=tuple(params.items()), splits=splits)
