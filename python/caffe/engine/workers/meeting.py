"""Where the processes of a training meet: a TCPStore that one of them, or their launcher, serves,
and the text that says where it is (what Caffe calls the uid)."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from ...errors import CaffeError, DeviceError

CONNECT = 30.0      # seconds until somebody has to answer where the store is said to be
_served: list = []      # the stores of this process, which are served as long as it runs


def new_uid() -> bytes:
    """Serve a store in this process, and say where: b"caffe:HOST:PORT:TOKEN". Touches no GPU, so
    that a process may be forked afterwards."""
    check_available()
    host = _own_address()
    store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False)
    _served.append(store)
    return f"caffe:{host}:{store.port}:{secrets.token_hex(8)}".encode()


def uid_from_environment() -> bytes | None:
    """The uid of processes that torchrun has started; None in a process that it has not.

    The number of the attempt is part of it: after a restart by torchrun, ranks would else find the
    addresses of processes that have ended.
    """
    given = os.environ
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(given):
        return None
    check_available()
    host, port = given["MASTER_ADDR"], _port(given["MASTER_PORT"])
    if given.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and given["RANK"] == "0":
        _serve(host, port)
    attempt = given.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"caffe:{host}:{port}:{given.get('TORCHELASTIC_RUN_ID', 'run')}/{attempt}".encode()


def check_available() -> None:
    """Raise DeviceError where PyTorch cannot exchange anything between processes."""
    if not (dist.is_available() and dist.is_gloo_available()):
        raise DeviceError("this build of PyTorch has no torch.distributed with gloo, so that "
                          "several processes cannot train together: install another build, or "
                          "train in one process")


class Meeting:
    """The processes that have come together under a uid.

    Attributes
    ----------
    rank, count : which of them this is, from 0, and how many there are
    store : what all of them read and write
    places : for each rank its host and process, for messages
    """

    def __init__(self, uid: bytes | str, rank: int, count: int, timeout: float,
                 about: dict[str, Any]) -> None:
        """Wait until all have come, at most `timeout` seconds. `about` is what others get to know
        of this process, a dict for JSON.

        Raises CaffeError that says who is missing, or what does not fit.
        """
        if not 0 <= rank < count:
            raise CaffeError(f"expected a solver_rank from 0 to {count - 1} for a solver_count of "
                             f"{count}, got {rank}; call caffe.set_solver_count and "
                             "caffe.set_solver_rank before the solver is made")
        self.rank, self.count = rank, count
        self._address, self._token = _parsed(uid)
        self.store = self.connect()
        self.places = [f"rank {number}" for number in range(count)]
        self._come(about)
        self._wait(timeout)
        self.about = [json.loads(text) for text in
                      self.store.multi_get([f"about/{number}" for number in range(count)])]
        self.places = [f"rank {number} (process {each['process']} on {each['host']})"
                       for number, each in enumerate(self.about)]

    def connect(self) -> dist.Store:
        """A connection to the store, for the use of one thread."""
        host, port = self._address
        try:
            return dist.PrefixStore(self._token, _reached(host, port))
        except (RuntimeError, ValueError) as error:
            raise CaffeError(
                f"rank {self.rank} finds no meeting place of the solvers at {host}:{port}: either "
                "the process that called caffe.NCCL.new_uid(), or torchrun, is no longer running, "
                f"or another program uses this port ({first_line(error)})") from None

    def _come(self, about: dict[str, Any]) -> None:
        if self.store.add(f"came/{self.rank}", 1) > 1:
            raise CaffeError(f"there are two solvers of rank {self.rank}: each process needs a "
                             "rank of its own (caffe.set_solver_rank), and each NCCL object a new "
                             "uid (caffe.NCCL.new_uid)")
        own = {**about, "count": self.count, "host": socket.gethostname(), "process": os.getpid()}
        self.store.set(f"about/{self.rank}", json.dumps(own))

    def _wait(self, timeout: float) -> None:
        last = time.monotonic() + timeout
        names = [f"about/{number}" for number in range(self.count)]
        for _ in pauses():
            if self.store.check(names):
                break
            if time.monotonic() > last:
                missing = [number for number, name in enumerate(names)
                           if not self.store.check([name])]
                raise CaffeError(
                    f"{_listed(missing)} of {self.count} ranks did not come within {timeout:g} s: "
                    "either a process was not started, or it ended or hangs before it has made "
                    "its caffe.NCCL; its own output tells")
        counts = {number: json.loads(self.store.get(f"about/{number}"))["count"]
                  for number in range(self.count)}
        other = next((number for number in counts if counts[number] != self.count), None)
        if other is not None:
            raise CaffeError(f"rank {other} was told of {counts[other]} solvers, rank {self.rank} "
                             f"of {self.count}: give all processes the same solver_count")


def pauses() -> Iterator[None]:
    """Endless, and each time a little later: first after a millisecond, in the end after 50. (The
    store's own waiting fills the output with warnings.)"""
    seconds = 0.001
    while True:
        yield
        time.sleep(seconds)
        seconds = min(2 * seconds, 0.05)


def _listed(ranks: list[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


def _parsed(uid: bytes | str) -> tuple[tuple[str, int], str]:
    """((host, port), token)."""
    text = uid.decode(errors="replace") if isinstance(uid, bytes) else str(uid)
    head, _, rest = text.partition(":")
    place, _, token = rest.rpartition(":")
    host, _, port = place.rpartition(":")
    if head != "caffe" or not host or not port.isdecimal() or not token:
        raise CaffeError(f"expected a uid that caffe.NCCL.new_uid() made, got {uid!r}")
    return (host, int(port)), token


def _reached(host: str, port: int) -> dist.Store:
    """The store that is served there. Another program, which takes the connection and says
    nothing, would be waited for without end: so this is done by a thread, which is then left."""
    found: list[dist.Store | Exception] = []

    def reach() -> None:
        try:
            found.append(dist.TCPStore(host, port, is_master=False, wait_for_workers=False,
                                       timeout=timedelta(seconds=CONNECT)))
        except (RuntimeError, ValueError) as error:
            found.append(error)

    thread = threading.Thread(target=reach, name="caffe meeting", daemon=True)
    thread.start()
    thread.join(2 * CONNECT)
    result = found[0] if found else RuntimeError("it takes the connection, and does not answer")
    if isinstance(result, Exception):
        raise result
    return result


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise CaffeError(f"expected MASTER_PORT, in the environment, to be the number of a port, 1 "
                         f"to 65535, got '{text}'")
    return int(text)


def _serve(host: str, port: int) -> None:
    try:
        _served.append(dist.TCPStore(host, port, is_master=True, wait_for_workers=False,
                                     timeout=timedelta(seconds=CONNECT)))
    except RuntimeError as error:
        raise CaffeError(f"rank 0 cannot be reached at {host}:{port}, where the solvers are to "
                         "meet: the port is in use, or the address is not this machine's "
                         f"({first_line(error)}); choose another one, --master-port of torchrun"
                         ) from None


def _own_address() -> str:
    """An address of this machine under which it can be reached, 127.0.0.1 if its name has none."""
    try:
        address = socket.gethostbyname(socket.gethostname())
        with socket.socket() as trial:
            trial.bind((address, 0))
        return address
    except OSError:
        return "127.0.0.1"


def first_line(error: Exception) -> str:
    """Of what a library says, without the place in its source that some begin with."""
    return re.sub(r"^\[\S+:\d+\] ", "", str(error).strip().split("\n")[0])
