"""The classes of the datasets, in the order of their labels."""

from pathlib import Path

from segdata.lists import latin1, read_lines

VOID = 255      # the label value that neither trains nor scores

VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor")

# the 11 of Brostow et al.'s 32 that SegNet has
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car",
          "pedestrian", "bicyclist")

NYUD = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "other structure", "other furniture", "other prop")

SIFTFLOW = (
    "awning", "balcony", "bird", "boat", "bridge", "building", "bus", "car", "cow", "crosswalk",
    "desert", "door", "fence", "field", "grass", "moon", "mountain", "person", "plant", "pole",
    "river", "road", "rock", "sand", "sea", "sidewalk", "sign", "sky", "staircase", "streetlight",
    "sun", "tree", "window")
SIFTFLOW_GEOMETRIC = ("sky", "horizontal", "vertical")

# Mottaghi et al., CVPR 2014: 59 classes, after the background
PASCALCONTEXT = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor", "bag", "bed", "bench", "book", "building", "cabinet", "ceiling",
    "clothes", "computer", "cup", "door", "fence", "floor", "flower", "food", "grass", "ground",
    "keyboard", "light", "mountain", "mouse", "curtain", "platform", "sign", "plate", "road",
    "rock", "shelves", "sidewalk", "sky", "snow", "bedcloth", "track", "tree", "truck", "wall",
    "water", "window", "wood")
# what the list of all labels calls otherwise than the list of the 59 classes
PASCALCONTEXT_FULL_NAMES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}


def read_class_names(path: Path, count: int | None = None) -> list[str]:
    """The names of the classes in their order: UTF-8 text, one a line; blank lines do not count.

    ValueError if it is no such text, is empty, or if there are not `count` names, where that is
    given.
    """
    names = []
    for number, name in read_lines(path):
        if name != latin1(name):
            raise ValueError(f"{path}:{number}: not UTF-8 text; save it anew in that encoding")
        names.append(name)
    if not names:
        raise ValueError(f"{path} is empty, expected the names of the classes, one a line")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{path}: two classes have one name: {', '.join(sorted(twice))}")
    if count is not None and len(names) != count:
        raise ValueError(f"{path}: {len(names)} names for {count} classes")
    return names
