"""The embedded dataset with 59 classes and background, in PASCAL-Context's layout."""

import embedded_context
import numpy as np
import pytest
import scipy.io
from embedded_context import CLASSES, FULL_NAMES, LABELS
from PIL import Image


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
    assert {FULL_NAMES.get(name, name) for name in task} <= full.keys()
    assert {"table", "bedclothes", "cloth"} == set(FULL_NAMES.values())


def test_every_class_occurs_and_background(made):
    full = read_list(made / "pascal-context/labels.txt")
    task = {full[FULL_NAMES.get(name, name)] for name in CLASSES}
    found = set(np.unique(np.concatenate([m.ravel() for m in label_maps(made, "train").values()])))
    assert task < found and len(found - task) == 1


def test_images_lie_beside_their_labels(made):
    for name, label in label_maps(made, "val").items():
        with Image.open(made / f"pascal/VOC2010/JPEGImages/{name}.jpg") as image:
            assert image.format == "JPEG" and image.size == label.shape[::-1]


def test_a_class_has_one_hue_and_one_texture():
    """The mean colour of a class is closer to itself in other draws than to the opposite hue."""
    y, x = np.mgrid[:48, :48]

    def mean(seed, kind):
        colours = embedded_context.surface(np.random.default_rng(seed), x, y, kind).mean((0, 1))
        return colours - colours.mean()

    for kind in (0, 13, 40):
        opposite = (kind + 30) % 60
        for seed in range(5):
            own, again = mean(seed, kind), mean(seed + 10, kind)
            assert own @ again > 0 > own @ mean(seed, opposite)


def test_the_data_layer_reads_it_unchanged(net, made):
    layer = net("pascalcontext_layers", "PASCALContextSegDataLayer", voc_dir=str(made / "pascal"),
                context_dir=str(made / "pascal-context"), split="val")
    layer.forward()
    _, label = embedded_context.scene(np.random.default_rng((1, 1, 0)))
    np.testing.assert_array_equal(layer.blobs["label"].data[0, 0], label // 7 % 60)
