"""Several processes that train one net: what they agree on, and who of them writes and prints.

Each is started with RANK and WORLD_SIZE in its environment, by `launch` or by torchrun. The
first, of rank 0, decides, and alone locks, writes and prints; so every branch before something that
all have to do together is taken as rank 0 says. Gradients are averaged by the engine's caffe.NCCL,
which these few collectives go through, too: a process that is gone or stuck is named there.
"""

from __future__ import annotations

import base64
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from fcn.solvers.console import progress
from fcn.solvers.console.errors import RunError, reported
from fcn.solvers.console.signals import Stopped
from fcn.solvers.processes import torchrun
from fcn.start import is_first

if TYPE_CHECKING:
    import caffe

PATIENCE = 3600.0   # seconds without progress of a process for which the others wait
T = TypeVar("T")

# a solver that learns nothing: with it the processes meet before there is another
IDLE_SOLVER = """net_param { layer { name: "meeting" type: "DummyData" top: "nothing"
                        dummy_data_param { shape { dim: 1 } } } }
base_lr: 1 lr_policy: "fixed" snapshot_after_train: false
"""


class Workers:
    """The processes that train together; `ALONE` is the one that trains by itself.

    rank : the number of this one; count : how many there are
    """

    def __init__(self, channel: caffe.NCCL | None = None, uid: bytes = b"") -> None:
        self._channel, self._uid, self._joined = channel, uid, 0
        self.rank: int = channel.rank if channel else 0
        self.count: int = channel.count if channel else 1

    def gather(self, value: T, doing: str = "") -> list[T]:
        """The value of each process, in the order of the ranks. All have to call this; `doing`
        says in messages of the others what this one does next."""
        if self._channel is None:
            return [value]
        texts = self._channel.gather(base64.b64encode(pickle.dumps(value)).decode())
        if doing:
            self._channel.note(doing)
        return [pickle.loads(base64.b64decode(text)) for text in texts]

    def together(self, function: Callable[[], T], doing: str = "") -> list[T]:
        """What function() is in each process. Where it fails, or is stopped, in one, all end:
        rank 0 raises what the first of them did."""
        if self._channel is None:
            return [function()]
        if doing:
            self._channel.note(doing)
        value: Any = None
        failure: BaseException | None = None
        try:
            value = function()
        except BaseException as error:
            if not isinstance(error, (*reported(), Stopped)):
                raise
            failure = error
        told = failure if failure is None or isinstance(failure, Stopped) else str(failure)
        every = self.gather((value, told))
        for rank, (_, ended) in enumerate(every):
            if ended is not None:
                self.end(rank, ended, failure)
        return [each for each, _ in every]

    def end(self, rank: int, ended: Stopped | str, own: BaseException | None = None) -> NoReturn:
        """Raise what ended the process of that rank, and with it all: rank 0 says it, in the words
        of its `own` error if it has one."""
        if isinstance(ended, Stopped):
            raise ended
        if self.rank:
            torchrun.end_behind_first()
        raise own if own is not None and rank == 0 else RunError(f"rank {rank}: {ended}")

    def first(self, function: Callable[[], T], doing: str = "") -> T:
        """What function() is in rank 0, which alone calls it, for all."""
        return self.together(function if self.rank == 0 else lambda: None, doing)[0]   # type: ignore

    def join(self, solver: caffe.Solver) -> None:
        """Have all solvers go on from the weights of rank 0's, and average their gradients."""
        if self._channel is None:
            return
        import caffe
        self._joined += 1

        def meet() -> None:
            nccl = caffe.NCCL(solver, self._uid + f"/{self._joined}".encode())
            nccl.bcast()
            solver.add_callback(nccl)
            if solver.param.layer_wise_reduce:
                solver.net.after_backward(nccl)
        self.together(meet, "the meeting of the solvers")

    @contextmanager
    def sharing(self, net: caffe.Net) -> Iterator[None]:
        """Have each process take every count-th sample of a net, from the first on; afterwards its
        data layers stand at the first again. One process by itself goes on where it stands.

        Raises RunError where no layer of the net can share: each process would take them all.
        """
        layers = [layer for layer in net.layers if hasattr(layer, "share")] \
            if self._channel is not None else []
        if self._channel is not None and not layers:
            raise RunError("no data layer of the net that is scored has a method share(rank, "
                           "workers), so that several processes would count each sample several "
                           "times: score in one process, with fcn score")
        for layer in layers:
            layer.share(self.rank, self.count)
        try:
            yield
        finally:
            for layer in layers:
                layer.share(0, 1)

    def own(self, values: Sequence[T], batch: int) -> list[T]:
        """Those of values in the order of the samples that this process has in its batches."""
        return [value for i, value in enumerate(values) if i // batch % self.count == self.rank]

    def interleaved(self, values: list[T]) -> list[T]:
        """The values that the processes have of the samples that each took, in the order of the
        samples."""
        every = self.gather(values)
        return [every[i % self.count][i // self.count] for i in range(sum(map(len, every)))]


ALONE = Workers()


@contextmanager
def joined() -> Iterator[Workers]:
    """The processes that this one trains with; `ALONE` where none were started.

    Raises RunError where caffe cannot train in several processes, and caffe's CaffeError where
    one does not come.
    """
    place = torchrun.place()
    if place.count == 1:
        yield ALONE
        return
    require_engine()
    import caffe
    caffe.set_solver_count(place.count)
    caffe.set_solver_rank(place.rank)
    caffe.set_multiprocess(True)
    uid = caffe.NCCL.uid_from_environment()
    if uid is None:
        raise RunError("RANK and WORLD_SIZE are set in the environment, MASTER_ADDR and "
                       "MASTER_PORT are not: start the processes by --gpu 0,1, --workers N or "
                       "torchrun, which set them all")
    if "GLOG_minloglevel" not in os.environ:
        caffe.init_log(1)
    with tempfile.TemporaryDirectory() as folder, _silent_unless_first():
        path = Path(folder) / "solver.prototxt"
        path.write_text(IDLE_SOLVER)
        channel = caffe.NCCL(caffe.get_solver(str(path)), uid)
        channel.timeout = PATIENCE
        with progress.watched(channel.note):        # scoring and the like, however long
            yield Workers(channel, uid)


def require_engine() -> None:
    """Raise RunError where caffe cannot train in several processes in the way of these tools."""
    import caffe
    if not hasattr(getattr(caffe, "NCCL", None), "gather"):
        raise RunError(f"{caffe.__file__} cannot train in several processes with these tools: it "
                       "has no caffe.NCCL.gather(); train in one, or on this project's engine")


@contextmanager
def _silent_unless_first() -> Iterator[None]:
    """Have rank 0 alone print; errors are told outside."""
    if is_first():
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), \
            redirect_stderr(nowhere):
        yield
