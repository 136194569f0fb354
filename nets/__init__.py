"""NetSpec scripts: the paper's nets as prototxts.

    nets.write("voc-fcn8s", "build/voc-fcn8s")      # train, val and deploy prototxt
"""

import os
from pathlib import Path

from .fcn import SPLITS, classifier, fcn
from .heads import HEADS

__all__ = ["NAMES", "classifier", "fcn", "write", "write_prototxt"]

NAMES = tuple(f"voc-{head}" for head in HEADS)


def write(name, directory, **options):
    """Write train.prototxt, val.prototxt and deploy.prototxt of a net into `directory`.

    `name` is one of NAMES; `options` are those of `fcn`. Returns {split: path}.
    Raises ValueError for an unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"unknown net '{name}'; known are {', '.join(NAMES)}")
    head = name.removeprefix("voc-")
    nets = {split: fcn(head, split, **options) for split in SPLITS}
    return {split: write_prototxt(Path(directory) / f"{split}.prototxt", net)
            for split, net in nets.items()}


def write_prototxt(path, message):
    """Write a protobuf message as text, whole or not at all, and return the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(str(message))
    os.replace(temporary, path)
    return path
