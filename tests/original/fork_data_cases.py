"""Random images with labels, and the layers of forks that read them.

They leave out what docs/fidelity.md lists as faults of the forks.
"""

import numpy as np
from data_cases import PASSES, picture, size
from PIL import Image

# {type: the field of the fork's own schema that shows that it has it}
KINDS = {"ImageSegData": "ImageDataParameter.label_type",
         "DenseImageData": "DenseImageDataParameter.source"}
FACTORS = [0.5, 0.75, 1, 1.25, 1.5, 1.7, 1.99]


def fork_data_case(seed, kind, folder):
    """The arguments of plays.play_data: a net of a layer of this type, with its files."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    folder.mkdir()
    return (image_seg_data if kind == "ImageSegData" else dense_image_data)(rng, folder)


def write_pairs(rng, folder, shapes, pixels=True):
    """Images of these shapes and label images, or numbers as labels, in list.txt."""
    with open(folder / "list.txt", "w") as file:
        for i, (height, width) in enumerate(shapes):
            picture(rng, height, width, "RGB").save(folder / f"{i}.png")
            labels = rng.integers(0, 256, (height, width), np.uint8)
            Image.fromarray(labels).save(folder / f"l{i}.png")
            file.write(f"{i}.png {f'l{i}.png' if pixels else rng.integers(250)}\n")


def case(folder, kind, tops, transform, message, settings, **arguments):
    named = " ".join(f'top: "{top}"' for top in tops)
    path = folder / "net.prototxt"
    path.write_text(f'layer {{ name: "d" type: "{kind}" {named} '
                    f"transform_param {{ {' '.join(transform)} }} {message} {{ "
                    f'source: "{folder}/list.txt" root_folder: "{folder}/" '
                    f"{' '.join(settings)} }} }}")
    return {"path": path, "passes": PASSES, **arguments}


def some_shapes(rng, alike):
    """Of one to four images."""
    count, shape = rng.integers(1, 5), size(rng, 4, 30)
    return [shape if alike else size(rng, 4, 30) for _ in range(count)]


def both_need(rng):
    """What both layers have: (transform_param, fields of their own, values of the mean)."""
    grey = rng.random() < 0.2
    means = [f"mean_value: {value:.2f}"
             for value in rng.uniform(0, 200, 1 if grey else rng.choice([1, 3]))]
    scale = [f"scale: {rng.choice([0.5, 0.00390625, 2])}"] * (rng.random() < 0.3)
    return scale, ["is_color: false"] * grey, means


def new_size(rng):
    return ["new_height: {} new_width: {}".format(*size(rng, 3, 40))]


def image_seg_data(rng, folder):
    pixels, crop = rng.random() < 0.7, int(rng.integers(4))
    transform, settings, means = both_need(rng)
    transform += means if crop or rng.random() < 0.5 else []
    write_pairs(rng, folder, some_shapes(rng, alike=True), pixels)
    if crop == 3:   # the whole, since TRAIN draws its place, and the forks scale in TRAIN alone
        transform.append(f"crop_size: 90 scale_factors: {rng.choice(FACTORS)}")
    elif crop:
        transform.append([f"crop_size: {rng.integers(3, 40)}", "crop_height: {} crop_width: {}"
                          .format(*size(rng, 3, 40))][crop - 1])
    if not pixels and rng.random() < 0.3:
        settings += new_size(rng)       # label images would be mixed
    settings += [f"label_type: {'PIXEL' if pixels else rng.choice(['IMAGE', 'NONE'])}",
                 f"ignore_label: {rng.integers(256)}", f"batch_size: {rng.integers(1, 4)}"]
    return case(folder, "ImageSegData", ["data", "label", "dim"], transform, "image_data_param",
                settings, phase=int(crop != 3),
                unread=["dim"] * (crop == 3))       # in the forks, the size before the scaling


def dense_image_data(rng, folder):
    batch, resized = int(rng.integers(1, 4)), rng.random() < 0.3
    transform, settings, means = both_need(rng)
    transform += means if rng.random() < 0.5 else []
    alike = batch > 1 and not resized
    shapes = some_shapes(rng, alike)
    write_pairs(rng, folder, shapes)
    settings += [f"batch_size: {batch}", *(new_size(rng) if resized else [])]
    if alike and rng.random() < 0.3:    # the whole, since its place is drawn
        settings.append("crop_height: {} crop_width: {}".format(*shapes[0]))
    return case(folder, "DenseImageData", ["data", "label"], transform, "dense_image_data_param",
                settings)
