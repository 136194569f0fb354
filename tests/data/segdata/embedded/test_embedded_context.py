"""The embedded dataset with 59 classes and background, in PASCAL-Context's layout."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from segdata.embedded import context as embedded_context
from segdata.embedded import voc as embedded_voc
from segdata.embedded.context import CLASSES, LABELS, PASCALCONTEXT_FULL_NAMES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("context") / "made"
    embedded_context.generate(directory, seed=1, train=80, val=2)
    return directory


def read_list(path):
    """{name: id} of a list of labels."""
    lines = [line.split(": ") for line in path.read_text().splitlines()]
    return {name: int(number) for number, name in lines}


def label_maps(made, split):
    names = (made / f"pascal/VOC2010/ImageSets/Main/{split}.txt").read_text().split()
    return {name: scipy.io.loadmat(made / f"pascal-context/trainval/{name}.mat")["LabelMap"]
            for name in names}


def test_a_seed_gives_the_same_pixels_another_seed_others():
    first, again, other = (embedded_context.scene(np.random.default_rng(seed))
                           for seed in (1, 1, 2))
    for one, two, three in zip(first, again, other):
        np.testing.assert_array_equal(one, two)
        assert one.shape != three.shape or (one != three).any()


def test_the_lists_of_labels_agree(made):
    full = read_list(made / "pascal-context/labels.txt")
    task = read_list(made / "pascal-context/59_labels.txt")
    assert sorted(full.values()) == list(range(1, LABELS + 1)) and len(full) == LABELS == 459
    assert tuple(task) == CLASSES and list(task.values()) == list(range(1, 60))
    assert {PASCALCONTEXT_FULL_NAMES.get(name, name) for name in task} <= full.keys()
    assert {"table", "bedclothes", "cloth"} == set(PASCALCONTEXT_FULL_NAMES.values())


def test_every_kind_occurs_59_are_classes_and_one_is_background(made):
    drawn = embedded_context.random_kinds(np.random.default_rng(0), 6_000)
    counts = np.bincount(drawn)
    assert len(counts) == 60 and counts.min() > 0
    assert 7 < counts[:6].sum() / counts[-6:].sum() < 14        # ten times as often
    full = read_list(made / "pascal-context/labels.txt")
    task = {full[PASCALCONTEXT_FULL_NAMES.get(name, name)] for name in CLASSES}
    kinds = set(embedded_context.full_label(np.arange(60)))
    assert task < kinds and len(kinds - task) == 1
    found = {value for label in label_maps(made, "train").values() for value in np.unique(label)}
    assert found <= kinds and len(found) > 40


def test_images_lie_beside_their_labels(made):
    for name, label in label_maps(made, "val").items():
        with Image.open(made / f"pascal/VOC2010/JPEGImages/{name}.jpg") as image:
            assert image.format == "JPEG" and image.size == label.shape[::-1]


def test_a_kind_has_a_hue_and_shapes_have_their_own_in_the_first():
    """The mean colour of a kind is closer to itself in other draws than to the opposite hue."""
    y, x = np.mgrid[:48, :48]

    def mean(surface, seed, number):
        colours = surface(np.random.default_rng(seed), x, y, number).mean((0, 1))
        return colours - colours.mean()

    for kind in (0, 13, 29):
        for seed in range(5):
            own, again, opposite = (mean(embedded_context.surface, seed + i, kind + j)
                                    for i, j in ((0, 0), (10, 0), (0, 30)))
            assert own @ again > 0 > own @ opposite
    for kind in range(6):
        assert mean(embedded_context.surface, 1, kind) @ mean(embedded_voc.surface, 2, kind + 1) > 0


def test_the_data_layer_reads_it_unchanged(net, made):
    layer = net("pascalcontext_layers", "PASCALContextSegDataLayer", voc_dir=str(made / "pascal"),
                context_dir=str(made / "pascal-context"), split="val")
    layer.forward()
    _, label = embedded_context.scene(np.random.default_rng((1, 1, 0)))
    np.testing.assert_array_equal(layer.blobs["label"].data[0, 0], label // 7 % 60)
