"""Runner: what all the ways to run a net have in common, and the one rule that each of them keeps:

What somebody can read afterwards is what a PlainRunner would have left, or an error that says how
to get it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from .observer import NOBODY, Observer


class Runner(ABC):
    """Runs the layers of a program for a net, which knows no more of it than these methods."""

    @abstractmethod
    def forward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False
                ) -> torch.Tensor | float:
        """Run the layers with these numbers, in order; returns the loss that they add up to.

        With `release` this is a whole pass: what the last one left is let go of before.
        """

    @abstractmethod
    def backward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False
                 ) -> None:
        """Run the backward passes of the layers with these numbers, in order.

        With `release` this is a whole pass, and the next one is expected to be a forward pass: a
        layer that has run lets go of what it would compute again if somebody ran it backward once
        more.
        """

    @abstractmethod
    def weights_updated(self) -> None:
        """Know that a solver has subtracted from each parameter what its `diff` holds."""
