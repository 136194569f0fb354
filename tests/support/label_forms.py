"""The same labelled scenes in every form in which people have them.

A scene is an image of 32x24 pixels with a cat, a dog over part of it, and a corner that is void.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from segdata.palette import label_image

WIDTH, HEIGHT = 32, 24
NAMES = {"train": ("a", "b", "c"), "val": ("d", "e")}
CLASSES = ["background", "cat", "dog"]
COLOURS = {0: (0, 0, 0), 1: (200, 10, 20), 2: (30, 220, 40), 255: (90, 90, 200)}


def boxes(name):
    """[(class, left, top, right, bottom)] in the order in which they are drawn."""
    move = ord(name) - ord("a")
    return [(1, 3 + move, 4, 15 + move, 12), (2, 10, 8, 25, 18 + move), (255, 28, 0, 32, 3)]


def truth(name):
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value, left, top, right, bottom in boxes(name):
        label[top:bottom, left:right] = value
    return label


def photograph(name, width=WIDTH, height=HEIGHT):
    pixels = np.random.default_rng(ord(name)).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def put(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def coloured(name):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for value, colour in COLOURS.items():
        pixels[truth(name) == value] = colour
    return Image.fromarray(pixels)


def samples():
    return [(split, name) for split, names in NAMES.items() for name in names]


# the forms: each writes all scenes below a folder

def index(root):
    for split, name in samples():
        put(photograph(name), root / "pictures" / split / f"{name}.jpg")
        put(label_image(truth(name)), root / "drawn" / split / f"{name}.png")
    write(root / "classes.txt", "\n".join(CLASSES))


def colours(root):
    for split, name in samples():
        put(photograph(name), root / split / f"{name}.png")
        put(coloured(name), root / f"{split}_labels" / f"{name}_L.png")
    write(root / "label_colors.txt", "0 0 0\tbackground\n200 10 20\tcat\n30 220 40\t\tdog\n"
                                     "90 90 200 Void\n")


def voc(root):
    for split, names in NAMES.items():
        ending = {"train": "training", "val": "validation"}[split]
        write(root / "VOC" / "ImageSets" / "Segmentation" / f"{ending}.txt", "\n".join(names))
        for name in names:
            put(photograph(name), root / "VOC" / "JPEGImages" / f"{name}.jpg")
            put(label_image(truth(name)), root / "VOC" / "SegmentationClass" / f"{name}.png")
    write(root / "VOC" / "class_names.txt", "\n".join(CLASSES))


def cvat_masks(root):
    for split, names in NAMES.items():
        write(root / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(names) + "\n")
        for name in names:
            put(photograph(name), root / "JPEGImages" / f"{name}.jpg")
            put(coloured(name), root / "SegmentationClass" / f"{name}.png")
            put(coloured(name), root / "SegmentationObject" / f"{name}.png")
    write(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
                                 "cat:200,10,20::\ndog:30,220,40::\nignore:90,90,200::\n")


def coco(root, segmentation=None):
    """Polygons, unless segmentation(mask, box) gives something else."""
    for split, names in NAMES.items():
        content = {"images": [], "annotations": [],
                   "categories": [{"id": 17, "name": "cat", "supercategory": "animal"},
                                  {"id": 18, "name": "dog", "supercategory": "animal"}]}
        for name in names:
            put(photograph(name), root / f"{split}2017" / f"{name}.jpg")
            content["images"].append({"id": ord(name), "file_name": f"{name}.jpg",
                                      "width": WIDTH, "height": HEIGHT})
            for value, left, top, right, bottom in boxes(name):
                mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                mask[top:bottom, left:right] = 1
                crowd = value == 255
                content["annotations"].append({
                    "id": len(content["annotations"]), "image_id": ord(name), "iscrowd": int(crowd),
                    "category_id": 17 if crowd else 16 + value,
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": segmentation(mask) if segmentation else counts(mask) if crowd
                    else [[left, top, right, top, right, bottom, left, bottom]]})
        write(root / "annotations" / f"instances_{split}2017.json", json.dumps(content))


def counts(mask):
    """COCO's run lengths, column by column, not compressed."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def compressed(mask):
    from pycocotools.mask import encode
    coded = encode(np.asfortranarray(mask))
    return {"size": coded["size"], "counts": coded["counts"].decode()}


def coco_run_lengths(root):
    coco(root, counts)


def coco_compressed(root):
    coco(root, compressed)


def roboflow_coco(root):
    """As Roboflow exports COCO: a category above the others, the images beside the JSON."""
    coco(root)
    for split, folder in (("train", "train"), ("val", "valid")):
        path = root / "annotations" / f"instances_{split}2017.json"
        content = json.loads(path.read_text())
        for category in content["categories"]:
            category["supercategory"] = "animals"
        content["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})
        write(root / folder / "_annotations.coco.json", json.dumps(content))
        path.unlink()
        for image in (root / f"{split}2017").iterdir():
            image.rename(root / folder / image.name)
        (root / f"{split}2017").rmdir()
    (root / "annotations").rmdir()
    write(root / "README.roboflow.txt", "exported")


def labelme(root):
    for split, name in samples():
        put(photograph(name), root / split / f"{name}.jpg")
        shapes = []
        for value, left, top, right, bottom in boxes(name):
            corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
            shape = {"label": {1: "cat", 2: "dog", 255: "__ignore__"}[value], "points": corners,
                     "shape_type": "polygon", "group_id": None, "flags": {}}
            if value == 2:
                shape |= {"points": [corners[2], corners[0]], "shape_type": "rectangle"}
            if value == 255:
                whole = io.BytesIO()
                Image.fromarray(np.full((bottom - top, right - left), 255, np.uint8)).save(
                    whole, "PNG")
                shape |= {"points": [corners[0], [right - 1, bottom - 1]], "shape_type": "mask",
                          "mask": base64.b64encode(whole.getvalue()).decode()}
            shapes.append(shape)
        write(root / split / f"{name}.json", json.dumps({
            "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"..\\{split}\\{name}"
            ".jpg", "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}))


def cvat(root):
    lines = []
    for split, name in samples():
        put(photograph(name), root / "images" / f"{name}.jpg")
        lines.append(f'<image id="{ord(name)}" name="{name}.jpg" subset="{split.title()}" '
                     f'width="{WIDTH}" height="{HEIGHT}">')
        for value, left, top, right, bottom in reversed(boxes(name)):
            order = f'z_order="{value}" occluded="0"'
            if value == 1:
                lines.append(f'<polygon label="cat" {order} points="{left},{top};{right},{top};'
                             f'{right},{bottom};{left},{bottom}"/>')
            elif value == 2:
                lines.append(f'<box label="dog" {order} xtl="{left}" ytl="{top}" xbr="{right}" '
                             f'ybr="{bottom}"/>')
            else:
                width, height = right - left, bottom - top
                lines.append(f'<mask label="ignore" {order} rle="0, {width * height}" left="{left}"'
                             f' top="{top}" width="{width}" height="{height}"/>')
        lines.append("</image>")
    listed = "".join(f"<label><name>{name}</name></label>" for name in ("cat", "dog", "ignore"))
    write(root / "annotations.xml",
          f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<meta><job><labels>{listed}'
          f"</labels></job></meta>\n{chr(10).join(lines)}\n</annotations>\n")


def roboflow_masks(root):
    for split, name in samples():
        folder = root / {"train": "train", "val": "valid"}[split]
        put(photograph(name), folder / f"{name}_jpg.rf.0a1b.jpg")
        put(Image.fromarray(truth(name)), folder / f"{name}_jpg.rf.0a1b_mask.png")
        write(folder / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n")


def cityscapes(root, kind="labelTrainIds"):
    """Its classes are others: road, sidewalk, building in place of background, cat, dog."""
    table = np.arange(256, dtype=np.uint8)
    if kind == "labelIds":
        table[[0, 1, 2, 255]] = 7, 8, 11, 3
    for split, name in samples():
        put(photograph(name), root / "leftImg8bit" / split / "bonn" / f"{name}_leftImg8bit.png")
        folder = root / "gtFine" / split / "bonn"
        put(Image.fromarray(table[truth(name)]), folder / f"{name}_gtFine_{kind}.png")
        put(coloured(name), folder / f"{name}_gtFine_color.png")
        put(Image.fromarray(truth(name).astype(np.uint16)),
            folder / f"{name}_gtFine_instanceIds.png")
        write(folder / f"{name}_gtFine_polygons.json", '{"imgHeight": 24, "objects": []}')


def cityscapes_ids(root):
    cityscapes(root, "labelIds")


ANIMALS = (index, colours, voc, cvat_masks, coco, coco_run_lengths, coco_compressed, roboflow_coco,
           labelme, cvat, roboflow_masks)
FORMS = {form.__name__: form for form in (*ANIMALS, cityscapes, cityscapes_ids)}


def snapshot(root: Path):
    """{file: (content, time)} of a folder."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*")
            if path.is_file()}
