"""caffe migrate --run: whether nets build, and run forward and backward, on made-up data."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaffeError
from ..formats import prototxt
from ..log import init_log
from ..proto import caffe_pb2

if TYPE_CHECKING:
    from ..engine.net import Net

RAN, FAILED, NOT_RUN = "ran", "failed", "not run"

_KEPT = ("DummyData", "Input", "Parameter")     # of the layers without bottoms
_WRITERS = ("HDF5Output", "MatWrite")
_IMAGE = re.compile("data|image|img|colou?r|hha|depth", re.IGNORECASE)
_UNSAID = 224, 224      # rows and columns of images whose size the prototxt leaves open
_STATISTICS = {"BatchNorm": (0, 1, 1), "BN": (None, None, 0, 1)}    # of values of size 1


class Trials:
    """Tries nets in a process of its own, which is ended, and begun anew, if one takes longer than
    `seconds`. `size` is the most rows and columns of images that are tried first, `trust` whether
    nets with code of their own are to be tried."""

    def __init__(self, size: tuple[int, int], seconds: float, trust: bool = False) -> None:
        self.size, self.seconds, self.trust = size, seconds, trust
        self.done: dict[tuple[str, int], tuple[str, str]] = {}
        self._begin()

    def _begin(self) -> None:
        context = get_context("spawn")
        self.connection, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there,), daemon=True)
        self.process.start()
        there.close()
        self.connection.recv()      # loading torch takes a while, which is not the net's

    def __call__(self, path: str, phase: int) -> tuple[str, str]:
        """A verdict, whether the net of a prototxt ran in a phase, and at what size, or why not.
        A net that solvers name, too, is tried once."""
        key = os.path.realpath(path), phase
        if key not in self.done:
            self.done[key] = self._ask(path, phase)
        return self.done[key]

    def _ask(self, path: str, phase: int) -> tuple[str, str]:
        try:
            self.connection.send((path, phase, self.size))
            if self.connection.poll(self.seconds):
                return self.connection.recv()
            said = NOT_RUN, f"not done after {self.seconds:g} s, see --seconds"
        except (EOFError, OSError):
            self.process.join()
            said = FAILED, f"its process ended with status {self.process.exitcode}"
        self.process.kill()
        self._begin()
        return said


def _serve(connection: Connection) -> None:
    from ..engine import net  # noqa: F401
    init_log(3)
    connection.send(None)
    while True:
        try:
            connection.send(_try(*connection.recv()))
        except EOFError:
            return


def _try(path: str, phase: int, size: tuple[int, int]) -> tuple[str, str]:
    try:
        return _run(_first_that_builds(path, phase, size))
    except CaffeError as error:
        return FAILED, str(error).removeprefix(f"{path}:").strip()
    except Exception as error:      # of the code of a Python layer
        found = re.search(r"(layer '.*?') \(", "\n".join(getattr(error, "__notes__", [])))
        where = f" ({found[1]})" if found else ""
        return FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def _first_that_builds(path: str, phase: int, size: tuple[int, int]) -> Net:
    """The net with images of at most `size`, with labels of pixels, else of images; else with
    images of about twice that, and so on, up to its own size. Raises the last error with labels of
    pixels."""
    from ..engine.net import Net
    said: dict[bool, CaffeError] = {}
    before = [b"", b""]
    for most in [*_doubled(size), None]:
        for of_pixels in (True, False):
            param = prototxt.read_net(path)
            param.state.phase, param.force_backward = phase, True
            _make_up(param, most, of_pixels)
            if param.SerializeToString() in before:
                continue
            before = [before[1], param.SerializeToString()]
            try:
                return Net.from_param(param, path)
            except CaffeError as error:
                if str(error) == str(said.get(of_pixels)):      # the size is not what is wrong
                    raise
                said[of_pixels] = error
    raise said[True]


def _doubled(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """A size, and its doubles up to 1,024: 8k + 1 is followed by 16k + 1, whose halves meet."""
    height, width = size
    while max(height, width) <= 1024:
        yield height, width
        height, width = 2 * height - height % 2, 2 * width - width % 2


def _make_up(param: caffe_pb2.NetParameter, most: tuple[int, int] | None, of_pixels: bool) -> None:
    """Puts inputs in place of data layers, makes images smaller, and drops what writes files.

    A batch has two images, or, for labels of pixels and where nothing takes the batch's
    statistics, one.
    """
    items = 1 if of_pixels and not any(layer.type in _STATISTICS for layer in param.layer) else 2
    for layer in list(param.layer):
        if layer.type in _WRITERS:
            param.layer.remove(layer)
        elif layer.detection_output_param.save_output_param.output_directory:
            layer.detection_output_param.ClearField("save_output_param")
        elif not layer.bottom and layer.type not in _KEPT:
            new = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=layer.top,
                                           include=layer.include, exclude=layer.exclude)
            for shape in _shapes(layer, most, items, of_pixels):
                new.input_param.shape.add(dim=shape)
            layer.CopyFrom(new)
        elif layer.type == "Input" and most:
            for shape in layer.input_param.shape:
                if len(shape.dim) == 4 and shape.dim[1] <= 6:
                    shape.dim[:] = [min(shape.dim[0], 2), shape.dim[1],
                                    *map(min, shape.dim[2:], most)]


def _shapes(layer: caffe_pb2.LayerParameter, most: tuple[int, int] | None, items: int,
            of_pixels: bool) -> Iterator[list[int]]:
    """The shapes of the tops of a data layer, by their names."""
    crop, memory = layer.transform_param, layer.memory_data_param
    square = crop.crop_size or layer.window_data_param.crop_size
    said = crop.crop_height or square or memory.height, crop.crop_width or square or memory.width
    size = list(map(min, said, most or said) if all(said) else most or _UNSAID)
    for number, name in enumerate(layer.top):
        if "dim" in name:
            yield [items, 1, 1, 2]
        elif "label" not in name and (number == 0 or _IMAGE.search(name)):
            yield [items, memory.channels or 3, *size]
        else:
            yield [items, 1, *size] if of_pixels else [items]


def _run(net: Net) -> tuple[str, str]:
    """Run a net forward and backward; returns a verdict, FAILED if a result is not finite, and at
    what size, and what is not finite.

    Inputs are zeros and ones, which will do for images and for labels; weights that are zeros
    become random ones, and the outputs' gradients are random, unless there is a loss.
    """
    random = np.random.default_rng(0)
    for layer, blobs in net.params.items():
        statistics = _STATISTICS.get(net.layer_dict[layer].type, (None,))
        for blob, value in zip(blobs, statistics):
            if value is not None:
                blob.data[...] = value
        if statistics[0] is None and not blobs[0].data.any():
            blobs[0].data[...] = _weights(random, blobs[0].data.shape)
    sides = [net.blobs[name].data.shape[2:] for name in net.inputs
             if net.blobs[name].data.ndim == 4]
    for name in net.inputs:
        data = net.blobs[name].data
        data[...] = sides[0] if data.shape[1:] == (1, 1, 2) else random.integers(0, 2, data.shape)
    outputs = net.forward()
    if not any(net.blob_loss_weights.values()):
        for name, array in outputs.items():
            net.blobs[name].diff[...] = random.standard_normal(array.shape)
    net.backward()
    gradients = {layer: blobs[0].diff for layer, blobs in net.params.items()
                 if net.layer_dict[layer].type != "BatchNorm"}      # which holds statistics alone
    odd = [f"{name} is not finite" for name, array in outputs.items()
           if not np.isfinite(array).all()]
    odd += [f"the gradient of {layer} is not finite" for layer, array in gradients.items()
            if not np.isfinite(array).all()]
    moved = sum(bool(array.any()) for array in gradients.values())
    size = "×".join(map(str, sides[0])) if sides else "its size"
    why = f"at {size}, gradients in {moved} of {len(gradients)} layers"
    if gradients and not moved and not any(net.blob_loss_weights.values()):
        why = f"at {size}, no gradients: nothing in this phase has a loss"
    return FAILED if odd else RAN, "; ".join([why, *odd[:3]])


def _weights(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Random weights that keep the size of values; a pattern that repeats, since drawing the many
    of a large net takes long."""
    scale = np.sqrt(2 / math.prod(shape[1:]))
    noise = random.standard_normal(65537).astype(np.float32) * scale
    return np.resize(noise if len(shape) > 1 else np.abs(noise), shape)
