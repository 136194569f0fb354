"""The processes that torchrun starts: rank 0 decides what there is to do, and counts for all."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from typing import Any

from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.task import Tally
from fcn.solvers.processes import torchrun

DAY = 24 * 3600     # seconds that a rank waits for another
POLL = 0.2
HEARING = 10.0      # seconds that rank 0 waits, where it cannot begin, until the others know


class Ranks:
    """What the ranks say to each other, over the store of torch.distributed: a few hundred bytes.

    rank, count : of this one, and how many there are
    Raises InferError, naming the rank, where one does not speak within a day.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self.store: Any = None
        if count > 1:
            import torch.distributed as distributed
            if lacking := [name for name in ("MASTER_ADDR", "MASTER_PORT")
                           if name not in os.environ]:
                raise InferError(f"the environment says WORLD_SIZE={count}, but no "
                                 f"{' and no '.join(lacking)}, by which ranks reach each other; "
                                 "start them by torchrun, which sets all of these")
            try:
                store, _, _ = next(distributed.rendezvous("env://", rank, count,
                                                          timeout=timedelta(seconds=300)))
            except (RuntimeError, ValueError) as error:
                raise InferError(f"rank {rank} of {count} does not reach rank 0 at "
                                 f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: "
                                 f"{str(error).splitlines()[0]}") from None
            self.store = distributed.PrefixStore(f"infer/{torchrun.place().restarts}", store)

    def tell(self, plan: Any) -> None:
        """Of rank 0: say to the others what it has decided."""
        if self.store:
            self.store.set("plan", json.dumps(plan))

    def refuse(self, waits: bool) -> None:
        """Of rank 0: say to the others that it cannot begin. waits : whether until they know"""
        self.tell(None)
        if self.store and waits:
            self._meet("refused", HEARING)

    def hear(self) -> Any:
        """Of the others: what rank 0 has decided. Raises EndedByAnother where it cannot begin."""
        if (plan := json.loads(self._get("plan", 0))) is None:
            self._meet("refused", HEARING)
            torchrun.end_behind_first()
        return plan

    def total(self, tally: Tally) -> Tally:
        """What all ranks have done, when all have ended: torchrun ends them all with the first
        that ends with a failure."""
        if not self.store:
            return tally
        self.store.set(f"tally/{self.rank}", " ".join(map(str, tally)))
        found = Tally()
        for rank in range(self.count):
            found = found.plus(map(int, self._get(f"tally/{rank}", rank).split()))
        self._meet("read", DAY)
        return found

    def _meet(self, where: str, seconds: float) -> None:
        """Say that this rank has come so far; rank 0, which may hold the store, waits until all
        have, or for some seconds."""
        latest = time.monotonic() + seconds
        self.store.add(where, 1)
        while self.rank == 0 and self.store.add(where, 0) < self.count \
                and time.monotonic() < latest:
            time.sleep(POLL)

    def _get(self, key: str, rank: int) -> str:
        """What a rank has set, or sets within a day; a signal ends the wait."""
        latest = time.monotonic() + DAY
        try:
            while not self.store.check([key]):
                if time.monotonic() > latest:
                    raise InferError(f"rank {rank} of {self.count} has said nothing to rank "
                                     f"{self.rank} for a day")
                time.sleep(POLL)
            return self.store.get(key).decode()
        except RuntimeError as error:
            raise InferError(f"rank {rank} of {self.count}, or what holds the store of torchrun, "
                             f"has ended: {str(error).splitlines()[0]}") from None
