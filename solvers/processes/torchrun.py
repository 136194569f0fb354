"""Which of several processes this one is, as torchrun and `launch` say in the environment."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import NoReturn

from fcn.solvers.console.errors import EndedByAnother, RunError
from fcn.start import is_first, is_launched
from segdata.errors import UserError


@dataclass(frozen=True)
class Place:
    """rank, count : of this process, and how many there are on all machines
    local_rank, local_count : the same on this machine
    restarts : how often the processes were started anew, because one of them had ended
    start : names the start of these processes, the same after they were started anew
    """
    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    restarts: int = 0
    start: str = ""


ALONE = Place()
# seconds that the others wait before they end, so that rank 0 can say why
LEAVING = 4.0
LAUNCHED = 30.0     # where something started them that ends them, too, once rank 0 has ended


def end_behind_first() -> NoReturn:
    """Raise EndedByAnother, but not at once: who started the processes ends all with the first that
    ends, which has to be rank 0."""
    _wait_for_end()
    raise EndedByAnother


def _wait_for_end() -> None:
    time.sleep(LAUNCHED if "TORCHELASTIC_RUN_ID" in os.environ else LEAVING)


def place() -> Place:
    """The place of this process; `ALONE` where none were started together. Raises RunError where
    the environment says what cannot be."""
    if not is_launched():
        return ALONE
    found = Place(_number("RANK", 0), _number("WORLD_SIZE", 1), _number("LOCAL_RANK", 0),
                  _number("LOCAL_WORLD_SIZE", 1), _number("TORCHELASTIC_RESTART_COUNT", 0),
                  os.environ.get("TORCHELASTIC_RUN_ID", ""))
    if found.rank >= found.count:
        raise RunError(f"the environment says RANK={found.rank} and WORLD_SIZE={found.count}; "
                       "ranks are 0 to WORLD_SIZE - 1")
    return found


@contextmanager
def only_first_speaks() -> Iterator[None]:
    """Of several processes have the first alone say what is wrong with the command line, or help,
    for all of them have the same. Raises RunError where the environment says what cannot be."""
    if place().rank == 0:
        yield
        return
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    except UserError:
        end_behind_first()
    except SystemExit as end:
        if end.code:
            _wait_for_end()
        raise


def has_nothing_to_do(what: str) -> bool:
    """Whether this process is one of several that torchrun started for what one process does, and
    not the first of them, which does it and says so. what : "fcn score" """
    if "TORCHELASTIC_RUN_ID" not in os.environ or place().count == 1:
        return False
    if is_first():
        print(f"note: {what} works in one process: rank 0 does it all, the others have nothing to "
              "do", file=sys.stderr)
    return not is_first()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise RunError(f"the environment says {name}={text or repr(text)}, expected a whole number")
    return int(text)
