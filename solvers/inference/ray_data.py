"""Segmenting on Ray, whose users have its cluster already: `infer.py ... --ray`, and a class for
pipelines of their own.

    import ray
    from fcn.solvers.inference.ray_data import RaySegmenter

    images = ray.data.read_images("s3://bucket/photographs", include_paths=True)
    labelled = images.map(RaySegmenter, fn_constructor_args=("my-run",),
                          compute=ray.data.ActorPoolStrategy(size=4))
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fcn.solvers.console.errors import reported
from fcn.solvers.inference import manifest
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.image_source import ImageSource
from fcn.solvers.inference.listing import Job, Listing
from fcn.solvers.inference.segmenter import Segmenter
from fcn.solvers.inference.task import Tally, Task, choose_inputs
from fcn.solvers.inference.work import opened_work

BLOCK = 10_000      # images of which the list goes to Ray together
ROWS = 32           # images that an actor gets together


class RaySegmenter:
    """A Segmenter for `Dataset.map`: to rows with `image`, uint8 (height, width, 3), it adds
    `labels`, uint8 (height, width). The arguments are those of `Segmenter`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.segment = Segmenter(*arguments, **options)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "labels": self.segment(row["image"]).labels}


class Actor:
    """Segments and writes rows of a list of images, with a manifest of its own."""

    def __init__(self, task: Task, count: int) -> None:
        self.stack = ExitStack()
        self.work = self.stack.enter_context(opened_work(
            task, choose_inputs(task, count), f"ray-{uuid.uuid4().hex[:12]}",
            0 if task.args.gpu else None, is_first=False))
        # of an actor that died, which this one replaces
        self.recent = {entry["path"]: entry for entry in manifest.entries(task.args.output)
                       if entry["attempt"] == task.attempt}

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        before, message = self.work.tally, ""
        try:
            self.work.do(self._jobs(rows))
        except reported() as error:
            message = f"error: {error}"
        numbers = np.subtract(self.work.tally, before)
        return {"tally": numbers[None], "message": [message]}

    def _jobs(self, rows: dict[str, np.ndarray]) -> Iterator[Job]:
        for text in rows["job"]:
            source, stem, entry = json.loads(text)
            found = ImageSource(*source)
            yield Job(found, stem, self.recent.get(found.identity, entry))


def segment(task: Task, listing: Listing) -> tuple[Tally, list[str]]:
    """Have actors, --workers of them, segment the images of a list. Returns what they did, and
    messages on what ended them."""
    try:
        import pyarrow
        import ray
    except ImportError:
        raise InferError("--ray takes Ray: pip install 'ray[data]'") from None
    if not ray.is_initialized():
        ray.init(logging_level=logging.ERROR, log_to_driver=not task.args.quiet,
                 include_dashboard=False)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = not task.args.quiet
    task, jobs, blocks = _from_anywhere(task), listing.jobs(0, 1), list[Any]()
    while texts := [_text(job) for job in islice(jobs, BLOCK)]:
        blocks.append(ray.put(pyarrow.table({"job": texts})))
    number = int(task.args.workers or len(task.args.gpu or "1"))
    results = ray.data.from_arrow_refs(blocks).map_batches(
        Actor, fn_constructor_args=(task, listing.count), batch_size=ROWS,
        compute=ray.data.ActorPoolStrategy(size=number), num_gpus=1 if task.args.gpu else 0)
    tally, messages = Tally(), list[str]()
    for row in results.iter_rows():
        tally = tally.plus(map(int, row["tally"]))
        messages += [row["message"]] * bool(row["message"])
    return tally, list(dict.fromkeys(messages))


def _from_anywhere(task: Task) -> Task:
    """The task with paths that are right in any current folder."""
    args = {name: value.resolve() if isinstance(value, Path) else value
            for name, value in vars(task.args).items()}
    chosen = task.chosen._replace(prototxt=task.chosen.prototxt.resolve(),
                                  weights=task.chosen.weights.resolve())
    return task._replace(args=Namespace(**args), chosen=chosen)


def _text(job: Job) -> str:
    source = job.source
    path = source.path if source.url else os.path.abspath(source.path)
    return json.dumps(job._replace(source=source._replace(path=path)))
