"""What the log says while a net is made, in the original's words and order."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from google.protobuf import text_format
from google.protobuf.message import Message

from ..log import logger
from ..proto import caffe_pb2
from .blob import Blob


def write_message(title: str, message: Message) -> None:
    """Show a prototxt, in which whole numbers have no decimals, below its title."""
    if logger.isEnabledFor(logging.INFO):
        text = text_format.MessageToString(message, as_utf8=True).rstrip()
        logger.info("%s\n%s", title, re.sub(r"(: -?\d+)\.0$", r"\1", text, flags=re.M))


def write_connections(spec: caffe_pb2.LayerParameter) -> None:
    """Show which blobs a layer reads and writes."""
    logger.info("Creating layer %s", spec.name)
    logger.info("Creating Layer %s", spec.name)
    for blob in spec.bottom:
        logger.info("%s <- %s", spec.name, blob)
    for i, blob in enumerate(spec.top):
        in_place = " (in-place)" if blob in spec.bottom[i:i + 1] else ""
        logger.info("%s -> %s%s", spec.name, blob, in_place)


def write_shapes(spec: caffe_pb2.LayerParameter, top: Sequence[Blob], weights: Sequence[float],
                 memory: int) -> None:
    """Show the tops of a layer that has been set up, and the bytes of all tops so far."""
    logger.info("Setting up %s", spec.name)
    for blob, weight in zip(top, weights):
        logger.info("Top shape: %s", "".join(f"{dim} " for dim in blob.shape) + f"({blob.count})")
        if weight:
            logger.info("    with loss weight %g", weight)
    logger.info("Memory required for data: %d", memory)


def write_sharing(name: str, owner: str, index: int) -> None:
    """Show that a parameter is that of another layer."""
    logger.info("Sharing parameters '%s' owned by layer '%s', param index %d", name, owner, index)


def write_outputs(outputs: Sequence[str]) -> None:
    """Show the outputs of a net that is made."""
    for name in outputs:
        logger.info("This network produces output %s", name)
    logger.info("Network initialization done.")
