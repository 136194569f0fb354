"""Beats: each process says every second what it is doing, and hears of the others."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from ...errors import CaffeError
from .meeting import Meeting

EVERY = 1.0     # seconds between two beats
DEAD = 20.0     # seconds without a beat, after which a process is taken to be gone
LONGER = "A longer time is set by caffe.NCCL.timeout = SECONDS"


class Beats:
    """What the ranks are doing.

    Attributes
    ----------
    doing : what this process is doing, for messages of others
    round : how many exchanges this process has come to
    """

    def __init__(self, meeting: Meeting) -> None:
        self._meeting, self._store = meeting, meeting.connect()
        self.doing, self.round, self._steps = "its start", 0, 0
        now = time.monotonic()
        silence: dict[str, Any] = {"doing": "its start", "round": 0, "steps": -1, "beat": -1}
        self._others = [silence] * meeting.count
        self._heard = [now] * meeting.count         # when a rank's beat was a new one
        self._moved = [now] * meeting.count         # when a rank had got on
        self._came = [now] * meeting.count          # when a rank had come to its last exchange
        self._told = now                            # when the store has last answered
        self._lost: str | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="caffe beats", daemon=True)
        self._thread.start()

    def note(self, doing: str) -> None:
        """Say what this process begins to do; whoever waits for it sees that it gets on."""
        self.doing, self._steps = doing, self._steps + 1

    def stop(self) -> None:
        """Say that this process ends."""
        self.doing = "over"
        self._end.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def check_store(self) -> None:
        """Raise CaffeError if the store has gone, and with it whoever started the training."""
        if not self._lost and time.monotonic() - self._told > DEAD:
            self._lost = f"it has not answered for {DEAD:g} s"
        if self._lost:
            raise CaffeError(f"rank {self._meeting.rank} has lost the meeting place of the "
                             f"solvers: the process that started the training has ended "
                             f"({self._lost})")

    def check_others(self, what: str, since: float, timeout: float) -> None:
        """Raise CaffeError if `what`, for which this process has waited since then, will not come:
        a rank is gone, be it while it waited, too, or has not got on for `timeout` seconds; or all
        came to it as long ago, and it is still not done."""
        self.check_store()
        now = time.monotonic()
        behind = [rank for rank, other in enumerate(self._others)
                  if rank != self._meeting.rank and other["round"] < self.round]
        gone = [rank for rank, other in enumerate(self._others) if rank != self._meeting.rank
                and (rank in behind if other["doing"] == "over"
                     else now - self._heard[rank] > DEAD)]
        stuck = [rank for rank in behind if now - max(self._moved[rank], since) > timeout]
        if gone:
            raise CaffeError(f"{self._place(gone[0])} is gone: it ended, or its machine cannot be "
                             f"reached; {self._where(gone[0])}. Rank {self._meeting.rank} waited "
                             f"for it in {what}")
        if stuck:
            raise CaffeError(f"{self._place(stuck[0])} has not got on for {timeout:g} s: "
                             f"{self._where(stuck[0])}. Rank {self._meeting.rank} waits for it in "
                             f"{what}. {LONGER}")
        if not behind and now - max(since, *self._came) > timeout:
            raise CaffeError(f"rank {self._meeting.rank} has waited {now - since:.0f} s for "
                             f"{what}, to which all {self._meeting.count} ranks came: the network "
                             f"or the library hangs (NCCL_DEBUG=INFO tells more). {LONGER}")

    def broken(self, what: str, reason: str) -> CaffeError:
        """The error for an exchange that failed: it names the ranks that no longer beat."""
        last = time.monotonic() + 4 * EVERY     # long enough to hear who still does
        while not (silent := self._silent()) and time.monotonic() < last:
            time.sleep(EVERY / 10)
        named = "; ".join(f"{self._place(rank)} is gone, {self._where(rank)}" for rank in silent)
        return CaffeError(f"rank {self._meeting.rank} cannot go on with {what}: "
                          f"{named or 'the connection to another rank has broken'} ({reason})")

    def _silent(self) -> list[int]:
        now = time.monotonic()
        return [rank for rank in range(self._meeting.count) if rank != self._meeting.rank
                and (now - self._heard[rank] > 3 * EVERY or self._others[rank]["doing"] == "over")]

    def _place(self, rank: int) -> str:
        return self._meeting.places[rank]

    def _where(self, rank: int) -> str:
        doing = self._others[rank]["doing"]
        return ("it came to its end before" if doing == "over" else
                f"it was last heard of in {doing}")

    def _beat(self) -> None:
        names = [f"beat/{rank}" for rank in range(self._meeting.count)]
        beat = 0
        try:
            while True:
                ended = self._end.is_set()
                beat += 1
                own = {"doing": self.doing, "round": self.round, "steps": self._steps,
                       "beat": beat}
                self._store.set(names[self._meeting.rank], json.dumps(own))
                if ended:
                    return
                self._hear(names)
                self._end.wait(EVERY)
        except RuntimeError as error:
            self._lost = str(error).strip().split("\n")[0]

    def _hear(self, names: list[str]) -> None:
        known = [(rank, name) for rank, name in enumerate(names) if self._store.check([name])]
        texts = self._store.multi_get([name for _, name in known])
        self._told = now = time.monotonic()
        for (rank, _), text in zip(known, texts):
            other, before = json.loads(text), self._others[rank]
            if other["beat"] != before["beat"]:
                self._heard[rank] = now
            if other["steps"] != before["steps"]:
                self._moved[rank] = now
            if other["round"] != before["round"]:
                self._came[rank] = now
            self._others[rank] = other
