"""Random files and data layers that read them, with random transformations, old fields, and layers
of the first form. In the phase TEST, where the original draws nothing."""

import io

import h5py
import lmdb
import numpy as np
from PIL import Image

from caffe.proto import caffe_pb2

PASSES = 4
MODES = ["RGB", "RGB", "RGB", "L", "RGBA", "P", "LA", "1", "I;16"]
FORMATS = ["png", "png", "jpg", "bmp"]
PARAMS = {"ImageData": "image_data_param {", "Data": "data_param {",
          "WindowData": "window_data_param {"}
FIRST_FORM = {"ImageData": "IMAGE_DATA", "Data": "DATA"}


def data_case(seed, kind, folder):
    """The arguments of plays.play_data: a net of a data layer of this type, with its files."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    folder.mkdir()
    text = f'layer {{ name: "d" type: "{kind}" top: "data" {KINDS[kind](rng, folder)} }}'
    if kind in PARAMS and rng.random() < 0.3:
        # what stands here is read from transform_param, but for WindowData's scale
        old = ["scale: 0.25", "mirror: false scale: 0.5",
               "scale: 2" if kind == "WindowData" else "crop_size: 3 mirror: false"]
        text = text.replace(PARAMS[kind], f"{PARAMS[kind]} {rng.choice(old)}")
    if kind in FIRST_FORM and rng.random() < 0.2:
        text = text.replace("layer {", "layers {", 1).replace(f'"{kind}"', FIRST_FORM[kind], 1)
    path = folder / "net.prototxt"
    path.write_text(text)
    return {"path": path, "passes": PASSES}


def size(rng, least, most):
    return tuple(int(n) for n in rng.integers(least, most, 2))


def picture(rng, height, width, mode):
    """Waves of a direction and a length for each channel."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([127 + 120 * np.sin(x * rng.uniform(0.05, 1) + y * rng.uniform(0.05, 1) + k)
                      for k in range(4)], -1).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(waves[..., 0].astype(np.uint16) * 257)
    if mode == "LA":
        return Image.fromarray(np.ascontiguousarray(waves[..., :2]), "LA")
    if mode == "RGBA":
        return Image.fromarray(waves)
    image = Image.fromarray(np.ascontiguousarray(waves[..., :3]))
    return image.quantize(32) if mode == "P" else image.convert(mode)


def write_image(rng, stem, shape=None):
    """The path of an image file of that shape, or of any shape and mode."""
    mode = "RGB" if shape else rng.choice(MODES)
    form = rng.choice(FORMATS) if mode in ("RGB", "L") else "png"
    path = stem.with_suffix(f".{form}")
    picture(rng, *(shape or size(rng, 4, 40)), mode).save(path)
    return path


def transformation(rng, folder, channels, height, width):
    """transform_param, or nothing."""
    parts, mean = [], rng.random()
    if rng.random() < 0.4:
        parts.append(f"scale: {rng.choice([1, 0.5, 0.00390625, -2, 0])}")
    if rng.random() < 0.4:
        parts.append(f"crop_size: {rng.integers(1, min(height, width) + 1)}")
    if mean < 0.3:
        parts += [f"mean_value: {value:.2f}"
                  for value in rng.uniform(0, 200, rng.choice([1, channels]))]
    elif mean < 0.5:
        proto = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
        proto.data.extend(rng.uniform(0, 255, channels * height * width).tolist())
        (folder / "mean.binaryproto").write_bytes(proto.SerializeToString())
        parts.append(f'mean_file: "{folder}/mean.binaryproto"')
    if rng.random() < 0.08:
        parts.append(rng.choice(["force_color: true", "force_gray: true"]))
    return f"transform_param {{ {' '.join(parts)} }}" if parts or rng.random() < 0.5 else ""


def image_data(rng, folder):
    resized, grey, (height, width) = rng.random() < 0.6, rng.random() < 0.3, size(rng, 3, 50)
    images = [write_image(rng, folder / f"{i}", None if resized else (height, width))
              for i in range(rng.integers(1, 6))]
    (folder / "list.txt").write_text("".join(
        f"{path.name} {rng.integers(-2, 300)}\n" for path in images))
    new = f"new_height: {height} new_width: {width}" if resized else ""
    return (f'top: "label" {transformation(rng, folder, 1 if grey else 3, height, width)} '
            f'image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" '
            f'batch_size: {rng.integers(1, 5)} {new} {"is_color: false" if grey else ""} }}')


def data(rng, folder):
    encoded, (height, width) = rng.random() < 0.5, size(rng, 3, 30)
    channels = 3 if encoded else int(rng.integers(1, 5))
    with lmdb.open(str(folder / "lmdb"), map_size=1 << 24) as database, \
            database.begin(write=True) as transaction:
        for i in range(rng.integers(1, 6)):
            transaction.put(f"{i:08}".encode(), datum(
                rng, encoded, channels, height, width).SerializeToString())
    return (f'{rng.choice(["", *["top: " + chr(34) + "label" + chr(34)] * 4])} '
            f"{transformation(rng, folder, channels, height, width)} data_param {{ "
            f'source: "{folder}/lmdb" backend: LMDB batch_size: {rng.integers(1, 5)} }}')


def datum(rng, encoded, channels, height, width):
    found = caffe_pb2.Datum(label=int(rng.integers(-3, 1000)))
    if encoded:
        file = io.BytesIO()
        picture(rng, height, width, "RGB").save(file, rng.choice(["PNG", "JPEG"]))
        found.data, found.encoded = file.getvalue(), True
    if not encoded or rng.random() < 0.5:
        found.channels, found.height, found.width = channels, height, width
    if not encoded and rng.random() < 0.2:
        found.float_data.extend(rng.normal(size=channels * height * width).tolist())
    elif not encoded:
        found.data = rng.bytes(channels * height * width)
    return found


def window_data(rng, folder):
    """One image with a window of the foreground and the same of the background: the original draws
    among more."""
    height, width = size(rng, 20, 60)
    image = write_image(rng, folder / "image", (height, width))
    left, top = int(rng.integers(width - 4)), int(rng.integers(height - 4))
    window = (f"{left} {top} {rng.integers(left + 1, width)} "
              f"{rng.integers(top + 1, height)}")
    (folder / "windows.txt").write_text(f"# 0\n{image}\n3\n{height}\n{width}\n2\n"
                                        f"1 0.9 {window}\n0 0.1 {window}\n")
    means = rng.integers(0, 200, rng.choice([0, 0, 1, 3]))
    return (f'top: "label" transform_param {{ crop_size: {rng.integers(4, 24)} '
            f'{rng.choice(["", "scale: 0.5"])} {" ".join(f"mean_value: {m}" for m in means)} }} '
            f'window_data_param {{ source: "{folder}/windows.txt" batch_size: 1 fg_fraction: 1 '
            f"fg_threshold: 0.5 bg_threshold: 0.5 context_pad: {rng.integers(5)} "
            f'crop_mode: "{rng.choice(["warp", "square"])}" }}')


def hdf5_data(rng, folder):
    shape, files = rng.integers(1, 4, rng.integers(4)), []
    for i in range(rng.integers(1, 4)):
        count = int(rng.integers(1, 5))
        files.append(folder / f"{i}.h5")
        with h5py.File(files[-1], "w") as file:
            file["data"] = rng.normal(size=(count, *shape)).astype(rng.choice(["f4", "f8"]))
            file["label"] = rng.integers(0, 9, count).astype(rng.choice(["f4", "i4", "i8", "u1"]))
    (folder / "files.txt").write_text("".join(f"{path}\n" for path in files))
    return (f'top: "label" hdf5_data_param {{ source: "{folder}/files.txt" '
            f"batch_size: {rng.integers(1, 5)} }}")


KINDS = {"ImageData": image_data, "Data": data, "WindowData": window_data, "HDF5Data": hdf5_data}
