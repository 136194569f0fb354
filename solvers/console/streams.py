"""Printing that does not fail where nobody reads it any more: a closed terminal or pipe."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def tell(text: str) -> None:
    """Print to stderr. What went to a terminal that is gone (SIGHUP) goes nowhere from then on:
    an error there would take the work with it."""
    for number in (1, 2):
        try:
            os.write(number, b"")
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def unheard(stream: TextIO) -> None:
    """Have what is written to a stream whose reader is gone go nowhere from now on."""
    with suppress(OSError):         # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
