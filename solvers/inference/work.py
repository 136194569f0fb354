"""Segmenting one image after the other: reading ahead and writing behind in threads."""

from __future__ import annotations

import errno
import os
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import (
    ExitStack,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fcn.solvers.console.errors import reported
from fcn.solvers.console.signals import Stopped, named
from fcn.solvers.console.streams import tell
from fcn.solvers.inference import crf, truths, videos
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.listing import Job
from fcn.solvers.inference.manifest import Manifest
from fcn.solvers.inference.network import described
from fcn.solvers.inference.outputs import Look, Outputs
from fcn.solvers.inference.photographs import decode
from fcn.solvers.inference.segmenter import Photograph, Segmentation, Segmenter
from fcn.solvers.inference.task import Tally, Task, beside, kinds_of, net_of
from fcn.solvers.inference.tiles import GIB
from segdata.files import make_folder
from segdata.inputs import Inputs
from segdata.overlay import percent

WAITING = 4         # times --batch: images that may wait for others of their size
THREADS = 4         # that read, and as many that write
SEED = 0            # of the dropout that several passes draw
AHEAD = 8           # images that are read before they are needed, and as many that wait for writing
AHEAD_BYTES = GIB // 2      # that these may take: of large images there are fewer
# what hinders all further images, too
FULL = errno.ENOSPC, errno.EDQUOT, errno.EROFS


@dataclass
class Item:
    """A Job on its way. key : see Manifest.key; state : where it needs no work"""
    job: Job
    key: dict[str, Any] | None = None
    state: str = ""
    photograph: Photograph | None = None


@contextmanager
def opened_work(task: Task, inputs: Inputs, rank: int | str = 0, gpu: int | None = None,
                is_first: bool = True, warn: Callable[[], str] = str) -> Iterator[Work]:
    """The Work of one process. is_first : whether it says what net it takes; warn : gives what it
    says of that on standard error, with its line ends"""
    args, chosen = task.args, task.chosen
    with open(os.devnull, "w") as nowhere, ExitStack() as stack:
        with (nullcontext() if is_first else redirect_stdout(nowhere)), (
                nullcontext() if is_first else redirect_stderr(nowhere)):
            settings = crf.chosen(args.crf, chosen.prototxt.parent)
            segmenter = Segmenter(
                chosen=chosen, device="cpu" if gpu is None else f"gpu:{gpu}",
                precision=args.precision, trust=args.trust, flip=args.flip, scales=args.scales,
                tile=args.tile, samples=args.samples, on_machine=task.on_machine,
                refinements=[partial(crf.refine, settings=settings)] if settings else [])
            say(args, "\n".join(filter(None, (described(chosen), segmenter.note))))
            if args.samples == 1 and segmenter.network.draws:
                print("note: dropout of this net acts in testing, too, so that each pass says "
                      "something else: --samples 20 takes the mean of 20, and shows how they "
                      "differ", file=sys.stderr)
            print(warn(), end="", file=sys.stderr)
        make_folder(args.output)
        manifest = None
        if task.attempt:
            if net_of(args, chosen) != task.net:
                raise InferError(f"{chosen.weights}: these weights, or the net, are not those that "
                                 "the run began with: they have changed since, or are others on "
                                 "this machine; the same command makes all by one net")
            manifest = stack.enter_context(Manifest(args.output, rank, task.net, task.attempt,
                                                    args.retry, partial(beside, args)).held())
        work = Work(args, segmenter, inputs, manifest)
        stack.callback(work.close)
        yield work


def say(args: Namespace, text: str) -> None:
    if not args.quiet:
        print(text, flush=True)


class Work:
    """Segments and writes images and videos. tally : of them"""

    def __init__(self, args: Namespace, segmenter: Segmenter, inputs: Inputs,
                 manifest: Manifest | None) -> None:
        self.args, self.segmenter, self.inputs, self.manifest = args, segmenter, inputs, manifest
        self.tally, self.announced, self.size = Tally(), set[tuple](), 1
        chosen = segmenter.chosen
        self.outputs = Outputs(kinds_of(args), Look(args.opacity, args.contours),
                               {"net": str(chosen.prototxt), "weights": str(chosen.weights)})
        self.readers, self.writers = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(THREADS)
        self.writing: deque[tuple[Item, Future]] = deque()

    def close(self) -> None:
        """End the threads; what they have begun, they finish, unless a signal comes."""
        try:
            for pool in (self.readers, self.writers):
                pool.shutdown(cancel_futures=True)
        except Stopped as error:        # Python itself would wait for threads, which may hang
            tell(f"stopped by {named(error.number)} at once; the next infer to "
                 f"{self.args.output} removes what is half written")
            os._exit(128 + error.number)

    def do(self, jobs: Iterable[Job]) -> Tally:
        """Images wait for others of their size, until there are enough for a batch. A disk that is
        full ends it, other errors fail their images alone."""
        waiting: dict[tuple, list[Item]] = {}
        for item, future in self._ahead(jobs):
            if not self._guarded(item, future.result) or item.state:
                self._count(item)
            elif item.photograph is None:
                self._guarded(item, partial(self._video, item))
            else:
                size = item.photograph.size
                group = waiting.setdefault(size, [])
                group.append(item)
                if len(group) == self.args.batch:
                    self._group(waiting.pop(size))
                elif sum(map(len, waiting.values())) >= WAITING * self.args.batch:
                    self._group(waiting.pop(next(iter(waiting))))
        for group in waiting.values():
            self._group(group)
        self._settle(0)
        return self.tally

    # reading

    def _ahead(self, jobs: Iterable[Job]) -> Iterator[tuple[Item, Future]]:
        """The jobs in order, some of them read ahead."""
        queue: deque[tuple[Item, Future]] = deque()
        for job in jobs:
            item = Item(job)
            queue.append((item, self.readers.submit(self._read, item)))
            while len(queue) > self._most():
                yield queue.popleft()
        yield from queue

    def _most(self) -> int:
        """Images that may wait, by the size of the last one."""
        return max(1, min(AHEAD, AHEAD_BYTES // self.size))

    def _read(self, item: Item) -> bool:
        source = item.job.source
        if self.manifest:
            item.key = self.manifest.key(source)
            if self.manifest.is_done(item.job.entry, item.key):
                item.state = "before"
                return True
            if self.manifest.has_failed(item.job.entry, item.key):
                item.state = "failed_before"
                return True
        if source.is_video:
            return True
        if source.local:
            read = self.segmenter.photograph(source.local, self.inputs)
        else:
            read = self.segmenter.photograph(decode(source.content(), source.name), self.inputs,
                                             source.name)
        item.photograph, self.size = read, sum(array.nbytes for array in read.arrays) + 1
        return True

    def _count(self, item: Item) -> None:
        if item.state:
            self.tally = self.tally._replace(**{item.state: getattr(self.tally, item.state) + 1})

    def _guarded(self, item: Item, act: Callable[[], Any]) -> Any:
        """What `act` returns; None where it fails, which is said, counted and recorded."""
        try:
            return act()
        except reported() as error:
            if getattr(error.__cause__ or error, "errno", None) in FULL:
                raise
            name, text = item.job.source.name, str(error)
            text = text if name in text else f"{name}: {text}"
            print(f"error: {text}", file=sys.stderr, flush=True)
            if self.manifest:
                self.manifest.failed(item.job, item.key, text)
            self.tally = self.tally.plus(Tally(failed=1))
            return None

    # computing

    def _group(self, group: list[Item]) -> None:
        """Segment images of one size; one by one where they do not go together."""
        photographs = [item.photograph for item in group if item.photograph]
        together: list[Segmentation] = []
        if len(group) > 1:
            with suppress(*reported()):     # whose fault it is shows when each is alone
                if len(self.segmenter.plan(photographs[0].size, len(group))) == 1:
                    together = self._batch(photographs)
        for item, result in zip(group, together):
            self._hand_on(item, result)
        for item, photograph in zip(group, [] if together else photographs):
            if result := self._guarded(item, partial(self._segmented, photograph)):
                self._hand_on(item, result)

    def _segmented(self, photograph: Photograph) -> Segmentation:
        self._tell_memory(photograph)
        return self._batch([photograph])[0]

    def _batch(self, photographs: list[Photograph]) -> list[Segmentation]:
        if self.args.samples == 1:
            return self.segmenter.batch(photographs)
        import caffe
        results = []
        for photograph in photographs:      # each draws the same, whatever it is segmented with
            caffe.set_random_seed(SEED)
            results += self.segmenter.batch([photograph])
        return results

    def _tell_memory(self, photograph: Photograph) -> None:
        """Say once of each size what large images take."""
        tiling = self.segmenter.plan(photograph.size)
        if (len(tiling) > 1 or tiling.whole > GIB) and photograph.size not in self.announced:
            self.announced.add(photograph.size)
            height, width = photograph.size
            say(self.args, f"{photograph.name}: {width}x{height}: {tiling}")

    # writing

    def _hand_on(self, item: Item, result: Segmentation) -> None:
        """Have a thread write a result."""
        item.photograph = None
        if not self._guarded(item, partial(self._complete, result)):
            return
        self.writing.append((item, self.writers.submit(self._write, item, result)))
        self._settle(self._most())

    def _complete(self, result: Segmentation) -> bool:
        """Compute what the net may have to run for again, which no other thread may."""
        return "probabilities" not in self.outputs.kinds or result.probabilities is not None

    def _settle(self, most: int) -> None:
        """Wait until no more than that are being written; say what is written."""
        while len(self.writing) > most:
            item, future = self.writing.popleft()
            if text := self._guarded(item, future.result):
                self.tally = self.tally.plus(Tally(done=1))
                say(self.args, text)

    def _write(self, item: Item, result: Segmentation) -> str:
        """Returns what is to be said of it."""
        source, truth = item.job.source, None
        if self.args.truth:
            truth = truths.read(truths.path_of(self.args.truth, Path(source.name)), result.labels,
                                len(result.names))
        paths = self.outputs.write(self._stem(item), source.shown, result, truth)
        self._record(item, paths)
        lines = [f"{source.name} -> {', '.join(map(str, paths))}"]
        lines += [f"    {name:<16}{percent(part):>7}" for name, part in result.shares]
        if truth and truth.scores:
            lines.append("    against the truth: " + ", ".join(
                f"{name} {value:.1f}%" for name, value in truth.scores.items()))
        return "\n".join(lines)

    def _stem(self, item: Item) -> Path:
        stem = self.args.output / item.job.stem
        make_folder(stem.parent)
        return stem

    def _record(self, item: Item, paths: Iterable[Path]) -> None:
        if self.manifest:
            assert item.key is not None
            self.manifest.done(item.job, item.key, paths)

    def _video(self, item: Item) -> None:
        """Write a video of overlays, unless other kinds alone are asked for, and the frames of
        other kinds that are."""
        self._settle(0)
        source, args = item.job.source, self.args
        if source.local is None:
            raise InferError(f"{source.name}: a video is read from a file of its own on this "
                             "machine alone; copy it there")
        video, stem = videos.Video(source.local), self._stem(item)
        if args.truth:
            print(f"{source.name}: --truth is for images; of a video the prediction alone is shown",
                  file=sys.stderr)
        kinds = kinds_of(args) if args.kinds or args.no_overlay else ["overlay"]
        frames = Outputs([kind for kind in kinds if kind != "overlay"], self.outputs.look,
                         self.outputs.origin)
        paths = []
        with ExitStack() as stack:
            overlays = folder = None
            if "overlay" in kinds:
                paths.append(Path(f"{stem}{videos.OVERLAY}"))
                overlays = stack.enter_context(videos.written_overlays(video, paths[-1],
                                                                       self.outputs))
            if frames.kinds:
                paths.append(Path(f"{stem}{videos.FRAMES}"))
                folder = stack.enter_context(videos.written_frames(paths[-1]))
            for number, image in enumerate(video, 1):
                read = self.segmenter.photograph(image, self.inputs,
                                                 f"{source.name}, frame {number}")
                result = self._segmented(read)
                if overlays:
                    overlays.add(result)
                if folder:
                    frames.write(folder / f"frame_{number:06}", source.local, result)
        self._record(item, paths)
        self.tally = self.tally.plus(Tally(done=1))
        say(args, f"{source.name} -> {', '.join(map(str, paths))} ({number} frames)")
