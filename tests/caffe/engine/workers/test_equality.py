"""Several solvers train as one process does with as many times the iter_size."""

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image

import caffe
import several
from caffe.engine.workers import reduction
from caffe.images import datasets

SIZE, IMAGES = 8, 11
TRANSFORM = "transform_param { crop_size: 6 mirror: true scale: 0.01 }"
DATA = {
    "drawn": 'layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param { '
             'shape { dim: 3 dim: 3 dim: 6 dim: 6 } shape { dim: 3 } data_filler { type: '
             '"gaussian" } data_filler { type: "uniform" max: 11 } } }',
    "lmdb": f'layer {{ name: "data" type: "Data" top: "x" top: "t" {TRANSFORM} '
            'data_param { source: "db" backend: LMDB batch_size: %d } }',
    "images": f'layer {{ name: "data" type: "ImageData" top: "x" top: "t" {TRANSFORM} '
              'image_data_param { source: "list.txt" batch_size: %d shuffle: true } }',
    "labels": 'layer { name: "data" type: "DenseImageData" top: "x" top: "pixels" '
              'transform_param { scale: 0.01 } dense_image_data_param { source: "pairs.txt" '
              'batch_size: %d shuffle: true mirror: true crop_height: 6 crop_width: 6 } }\n'
              'layer { name: "t" type: "Pooling" bottom: "pixels" top: "mean" '
              'pooling_param { pool: AVE global_pooling: true } }\n'
              'layer { name: "f" type: "Threshold" bottom: "mean" top: "t" }',
}
CONV = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param {
        num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
"""
SCORE = """
layer { name: "score" type: "InnerProduct" bottom: "c" top: "s" inner_product_param {
        num_output: 12 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "t" top: "l" }
"""
IN_PLACE = 'layer {{ name: "{0}" type: "{0}" bottom: "c" top: "c" {1} }}\n'
NETS = {
    "dropout": IN_PLACE.format("ReLU", "") + IN_PLACE.format("Dropout", ""),
    "batch norm": IN_PLACE.format("BatchNorm", "batch_norm_param { moving_average_fraction: 0.9 }"
                                  ) + IN_PLACE.format("Scale", "scale_param { bias_term: true }"),
    "PSPNet's": IN_PLACE.format("BN", "bn_param { slope_filler { value: 1 } }"),
    "shared": "".join(f"""
layer {{ name: "a{i}" type: "Convolution" bottom: "c" top: "c{i}" param {{ name: "w" }}
         convolution_param {{ num_output: 4 kernel_size: 1 bias_term: false
                              weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "r{i}" type: "TanH" bottom: "c{i}" top: "c" }}""" for i in range(2)).replace(
        'top: "c" }', 'top: "c%d" }') % (0, 1),
}
NETS["shared"] = NETS["shared"].replace('bottom: "c" top: "c1"', 'bottom: "c0" top: "c1"') + (
    'layer { name: "up" type: "Power" bottom: "c1" top: "back" }\n')
# the weights are not updated, but one layer computes a gradient by them, which counts in clipping
NETS["shared, one frozen"] = NETS["shared"].replace('"w"', '"w" lr_mult: 0', 1)


@pytest.fixture(autouse=True)
def one_thread():
    """As a forked process has; with more, sums are in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of images, their list, an LMDB of them, and labels."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        Image.fromarray(pixels[..., 0] % 5).save(folder / f"{i}_labels.png")
    (folder / "list.txt").write_text("".join(f"{folder}/{i}.png {i}\n" for i in range(IMAGES)))
    (folder / "pairs.txt").write_text("".join(
        f"{folder}/{i}.png {folder}/{i}_labels.png\n" for i in range(IMAGES)))
    datasets.convert_imageset(str(folder / "list.txt"), "", str(folder / "db"))
    assert lmdb
    return folder


class Recipe:
    """A training: what it trains, and on what."""

    def __init__(self, folder, where, net="dropout", data="lmdb", batch=1, steps=6, **settings):
        self.steps = steps
        middle = NETS[net]
        score = SCORE.replace('bottom: "c"', 'bottom: "back"') if "back" in middle else SCORE
        text = DATA[data].replace("%d", str(batch)) + CONV + middle + score
        self.net = where / "net.prototxt"
        self.net.write_text(text.replace('"db"', f'"{folder}/db"').replace(
            'source: "', f'source: "{folder}/').replace(f"{folder}/{folder}", str(folder)))
        self.settings = {"base_lr": 0.05, "momentum": 0.9, "lr_policy": '"fixed"',
                         "random_seed": 7, "type": '"SGD"', "weight_decay": 0.01,
                         "snapshot_prefix": f'"{where}/s"', **settings}

    def solver(self, rank=0, **settings):
        lines = {"net": f'"{self.net}"', **self.settings, **settings}
        path = self.net.with_name(f"solver{rank}.prototxt")
        path.write_text("\n".join(f"{name}: {value}" for name, value in lines.items()))
        return caffe.get_solver(str(path))

    def together(self, count, layer_wise=True, **settings):
        """What `count` solvers end with, which is the same for all."""
        def work(rank, uid):
            solver = self.solver(rank, **settings)
            several.joined(solver, uid, layer_wise)
            solver.step(self.steps)
            return end(solver)
        found = several.run(count, work)
        for error in found:
            if isinstance(error, Exception):
                raise error
        for other in found[1:]:
            assert_equal(other, found[0])
        return found[0]

    def alone(self, **settings):
        """What one process ends with, whose random numbers are those of several."""
        caffe.set_multiprocess(True)
        try:
            solver = self.solver(**settings)
            solver.step(self.steps)
            return end(solver)
        finally:
            caffe.set_multiprocess(False)


def end(solver):
    """The parameters and histories of a solver."""
    arrays = [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]
    return [*arrays, *(history.numpy().copy() for history in solver.history)]


def assert_equal(mine, theirs):
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def differ(mine, theirs):
    return max(np.abs(one - other).max() for one, other in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("net, data, layer_wise, settings", [
    ("dropout", "lmdb", True, {}),
    ("dropout", "images", False, {"iter_size": 2}),
    ("batch norm", "drawn", True, {"type": '"Adam"', "momentum2": 0.99}),
    ("PSPNet's", "drawn", False, {}),
    ("dropout", "labels", True, {"type": '"Nesterov"'}),
    ("dropout", "drawn", True, {"type": '"AdaGrad"', "momentum": 0}),
    ("dropout", "drawn", False, {"type": '"RMSProp"', "momentum": 0, "rms_decay": 0.9}),
    ("dropout", "drawn", True, {"type": '"AdaDelta"', "delta": 1e-3, "base_lr": 1}),
])
def test_two_solvers_are_one_bit_for_bit(files, tmp_path, monkeypatch, net, data, layer_wise,
                                         settings):
    monkeypatch.setattr(reduction, "SMALL", 60)     # so that some gradients are sent alone
    recipe = Recipe(files, tmp_path, net, data, **settings)
    size = settings.get("iter_size", 1)
    found = recipe.together(2, layer_wise)
    if size == 1:
        assert_equal(found, recipe.alone(iter_size=2))
    else:       # the sums are in another order
        assert differ(found, recipe.alone(iter_size=4)) < 1e-5
    assert differ(found, recipe.alone(iter_size=size)) > 1e-3


@pytest.mark.parametrize("layer_wise", [True, False])
def test_shared_parameters_differ_by_the_order_of_a_sum(files, tmp_path, layer_wise):
    recipe = Recipe(files, tmp_path, "shared")
    found = recipe.together(2, layer_wise)
    assert differ(found, recipe.alone(iter_size=2)) < 1e-6
    assert differ(found, recipe.alone()) > 1e-3


def test_clipping_sees_the_average(files, tmp_path):
    recipe = Recipe(files, tmp_path)
    found = recipe.together(2, clip_gradients=0.5)
    assert_equal(found, recipe.alone(iter_size=2, clip_gradients=1))
    assert differ(found, recipe.alone(iter_size=2)) > 1e-3


def test_clipping_sees_a_gradient_that_no_update_is_made_of(files, tmp_path):
    recipe = Recipe(files, tmp_path, "shared, one frozen")
    found = recipe.together(2, clip_gradients=0.5)
    assert differ(found, recipe.alone(iter_size=2, clip_gradients=1)) < 1e-6


@pytest.mark.parametrize("count", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_more_solvers_differ_by_rounding(files, tmp_path, count):
    recipe = Recipe(files, tmp_path, data="images")
    found = recipe.together(count)
    assert differ(found, recipe.alone(iter_size=count)) < 1e-5
    assert differ(found, recipe.alone(iter_size=1)) > 1e-3


def test_resumed_with_another_number_of_solvers(files, tmp_path):
    """4 updates of 3 solvers, then 6 of 2, take the samples and draw the numbers of one process
    that takes 12 and 12."""
    recipe = Recipe(files, tmp_path, data="images", snapshot=4, steps=4)
    recipe.together(3)
    state = str(tmp_path / "s_iter_4.solverstate")

    def go_on(count, iter_size, restores):
        def work(rank, uid):
            solver = recipe.solver(rank, iter_size=iter_size, snapshot=0)
            if restores(rank):
                solver.restore(state)
            several.joined(solver, uid)
            solver.step(6)
            return end(solver)
        return several.run(count, work)

    found, other = go_on(2, 1, lambda rank: rank == 0)      # the others hear of it
    assert_equal(found, other)
    alone, = go_on(1, 2, lambda rank: True)
    assert_equal(found, alone)
    solver = recipe.solver(iter_size=2)     # in a process for itself, too
    solver.restore(state)
    solver.step(6)
    assert_equal(found, end(solver))
    anew, = go_on(1, 2, lambda rank: False)
    assert differ(found, anew) > 1e-3


def test_ranks_without_a_seed_have_that_of_rank_0(files, tmp_path):
    recipe = Recipe(files, tmp_path, data="images", random_seed=-1)
    recipe.together(2)      # where their ends are compared
