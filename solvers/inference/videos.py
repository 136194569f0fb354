"""Videos, where OpenCV is installed: each frame is an image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fcn.solvers.inference.errors import InferError, no_such_file
from fcn.solvers.inference.outputs import OUTPUT_KINDS, Outputs
from fcn.solvers.inference.segmenter import Segmentation
from segdata.files import new_folder, replacing
from segdata.overlay import coloured, with_legend

OVERLAY, FRAMES = "_overlay.mp4", "_frames"     # what follows the stem of the outputs' names
LISTED = 40         # classes in the legend of a video, at most


def opencv(path: Path) -> Any:
    """The module cv2. Raises InferError, naming the video, where it is not installed."""
    try:
        import cv2
    except ImportError:
        raise InferError(f"{path}: reading a video takes OpenCV, which is not installed: `pip "
                         "install opencv-python-headless`; or extract its frames as images"
                         ) from None
    return cv2


class Video:
    """The frames of a video file. Raises InferError where it is none."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InferError(no_such_file(path))
        self.path, self.cv2 = path, opencv(path)
        with self._opened() as capture:
            self.rate = capture.get(self.cv2.CAP_PROP_FPS) or 25.0

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        capture = self.cv2.VideoCapture(str(self.path))
        try:
            if not capture.isOpened():
                raise InferError(f"{self.path}: not a video that OpenCV reads")
            yield capture
        finally:
            capture.release()

    def __iter__(self) -> Iterator[Image.Image]:
        """RGB images. Raises InferError where there are none."""
        with self._opened() as capture:
            count = 0
            while True:
                is_there, frame = capture.read()
                if not is_there:
                    break
                count += 1
                yield Image.fromarray(np.ascontiguousarray(frame[..., ::-1]))
        if not count:
            raise InferError(f"{self.path}: a video without frames that OpenCV reads")


class Overlays:
    """Writes a video of overlays; its legend, the same in all frames, lists the net's classes."""

    def __init__(self, video: Video, path: Path, outputs: Outputs) -> None:
        self.video, self.path, self.look = video, path, outputs.look
        self.writer: Any = None

    def add(self, result: Segmentation) -> None:
        picture = coloured(result.image, result.labels, result.names, *self.look)
        if len(result.names) <= LISTED:
            picture = with_legend(picture, list(enumerate(result.names)), result.names)
        frame = np.asarray(picture)
        frame = frame[:frame.shape[0] // 2 * 2, :frame.shape[1] // 2 * 2, ::-1]    # MPEG's are even
        if self.writer is None:
            cv2 = self.video.cv2
            self.writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*"mp4v"),
                                          self.video.rate, frame.shape[1::-1])
            if not self.writer.isOpened():
                raise InferError(f"{self.path}: OpenCV has no encoder for MPEG-4; take --mask, "
                                 "which writes the frames")
        self.writer.write(np.ascontiguousarray(frame))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.release()


@contextmanager
def written_overlays(video: Video, path: Path, outputs: Outputs) -> Iterator[Overlays]:
    """An Overlays whose file gets its name `path` at the end, if no error comes."""
    with replacing(path) as temporary:
        inside = temporary.with_name(f"{temporary.name}.part{path.suffix}")  # OpenCV goes by it
        overlays = Overlays(video, inside, outputs)
        try:
            yield overlays
            overlays.close()
            inside.replace(temporary)
        finally:
            overlays.close()
            inside.unlink(missing_ok=True)


@contextmanager
def written_frames(folder: Path) -> Iterator[Path]:
    """A folder that gets its name at the end, in place of one with the frames of an earlier run.

    Raises InferError where that name is a folder with other files.
    """
    others = [path.name for path in (folder.iterdir() if folder.exists() else ())
              if not re.fullmatch(rf"frame_\d+({'|'.join(_suffixes())})", path.name)]
    if others:
        raise InferError(f"{folder} holds other files than frames, such as {others[0]}; move it, "
                         "or write to another folder (-o)")
    with new_folder(folder, replace=True) as content:
        yield content


def _suffixes() -> list[str]:
    return [re.escape(suffix) for suffix, _ in OUTPUT_KINDS.values()]
