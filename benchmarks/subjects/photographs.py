"""Photographs and their labels, in files as those of VOC, which data layers read."""

import numpy as np

from subjects.inputs import RNG

# of most photographs in VOC, and how many of these there are for those of other sizes
PHOTOGRAPHS = [(375, 500)] * 27 + [(500, 375)] * 9 + [(333, 500)] * 9 + [(500, 333)] * 3
OTHERS = 300, 500, 12       # the least and the longest side, and how many


def source_like_voc(folder):
    """The source of photographs of the sizes that VOC's have."""
    least, most, count = OTHERS
    return source(folder, [*PHOTOGRAPHS, *RNG.integers(least, most + 1, (count, 2)).tolist()])


def source(folder, sizes):
    """The source of JPEG photographs of these sizes with PNG labels, in VOC's layout."""
    from fcn.nets.source import folder as in_folder
    write(folder, sizes)
    return in_folder(folder, 21)


def write(folder, sizes):
    """Write JPEG photographs of these sizes, (height, width), with PNG labels, in VOC's layout."""
    from PIL import Image
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for i, (height, width) in enumerate(sizes):
        coarse = Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f"JPEGImages/{i}.jpg")
        label = Image.fromarray(RNG.integers(0, 21, (8, 10), np.uint8))
        label.resize((width, height), Image.Resampling.NEAREST).save(
            folder / f"SegmentationClass/{i}.png")
    for split in ("train", "val"):
        (folder / f"ImageSets/Segmentation/{split}.txt").write_text(
            "\n".join(map(str, range(len(sizes)))))
