"""Weights from one net into the layers of another that have the same names."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

import caffe

from .parameters import SurgeryError, Weights, layer_parameters

# kinds of Outcomes that are printed by another word, that of `fcn solve --from`
PRINTED = {"coerced": "reshaped", "dropped": "left over"}


class Outcome(NamedTuple):
    """What became of a parameter, or of all those of a layer.

    kind : 'copied', 'coerced' (to another shape of as many elements; printed as reshaped),
        'dropped' (not in the new net; printed as left over), 'skipped' (as asked) or 'kept' (not in
        the old one)
    name : of the layer, or LAYER[i] for a single parameter; that of the new net if it was kept
    detail : where it went, or why it did not
    """
    kind: str
    name: str
    detail: str

    def __str__(self) -> str:
        return f"{PRINTED.get(self.kind, self.kind)} {self.name}{self.detail}"


def transplant(new_net: caffe.Net, net: caffe.Net | Weights, suffix: str = "",
               verbose: bool | None = False, skip: str | Iterable[str] = ()) -> list[Outcome]:
    """Copy the parameters of `net` into the layers of `new_net` with the same names.

    An InnerProduct layer becomes a convolution by reshaping (paper, section 3.1): equal element
    counts are reshaped, anything else is an error, raised before the first copy.

    Parameters
    ----------
    suffix : str; layer L of `net` goes to layer L + suffix of `new_net`
    verbose : print every outcome, not one line in all; None: print nothing
    skip : names of layers of either net, or patterns such as "score*"; these stay as they are

    Returns the report: a list of Outcomes. Raises SurgeryError for a misfit, if no name matches, or
    if neither net has a layer that `skip` names.
    """
    copies: list[tuple] = []
    report: list[Outcome] = []
    skipped = _skipped([skip] if isinstance(skip, str) else skip, new_net, net)
    for name in net.params:
        if {name, name + suffix} & skipped:
            report.append(Outcome("skipped", name, ": as asked"))
        elif name + suffix in new_net.params:
            pairs, outcomes = _match(name, layer_parameters(net, name), name + suffix,
                                     layer_parameters(new_net, name + suffix))
            copies += pairs
            report += outcomes
        else:
            report.append(Outcome("dropped", name, f": no layer {name + suffix} in the new net"))
    if not copies:
        raise SurgeryError(f"nothing to transplant: of the layers {', '.join(net.params)} none is "
                           f"in the new net with suffix '{suffix}': {', '.join(new_net.params)}"
                           + f"; skipped are {', '.join(sorted(skipped))}" * bool(skipped))
    filled = {name + suffix for name in net.params}
    report += [Outcome("kept", name, ": no layer of that name in the source")
               for name in new_net.params if name not in filled]
    for new, old in copies:
        new.data[...] = old.data.reshape(new.data.shape)
    if verbose is not None:
        print("\n".join(map(str, report)) if verbose else _summary(report))
    return report


def _skipped(patterns: Iterable[str], new_net: caffe.Net, net: caffe.Net | Weights) -> set[str]:
    """The layers of the nets whose names match one of the patterns. Raises SurgeryError for a name
    that is no pattern, and of no layer."""
    names, found = {*new_net.params, *net.params}, set()
    for pattern in patterns:
        matching = {name for name in names if name == pattern or fnmatchcase(name, pattern)}
        if not matching and not set(pattern) & set("*?["):
            raise SurgeryError(f"neither net has a layer {pattern} to skip; there are "
                               f"{', '.join(sorted(names))}")
        found |= matching
    return found


def _match(name: str, blobs: list, new_name: str, new_blobs: list
          ) -> tuple[list[tuple], list[Outcome]]:
    """[(new blob, blob)] and the Outcomes for two layers of one name."""
    if len(new_blobs) > len(blobs):
        raise SurgeryError(f"{name} has {len(blobs)} parameters, {new_name} needs "
                           f"{len(new_blobs)}")
    outcomes = [_fit(f"{name}[{i}]", tuple(old.data.shape), f"{new_name}[{i}]",
                     tuple(new.data.shape)) for i, (new, old) in enumerate(zip(new_blobs, blobs))]
    outcomes += [Outcome("dropped", f"{name}[{i}]", f": {new_name} has {len(new_blobs)} parameters")
                 for i in range(len(new_blobs), len(blobs))]
    return list(zip(new_blobs, blobs)), outcomes


def _fit(name: str, shape: tuple[int, ...], new_name: str, new_shape: tuple[int, ...]) -> Outcome:
    if shape == new_shape:
        return Outcome("copied", name, f" -> {new_name} {shape}")
    if np.prod(shape) == np.prod(new_shape):
        return Outcome("coerced", name, f" {shape} -> {new_name} {new_shape}")
    raise SurgeryError(f"{name} of shape {shape} does not fit {new_name} of shape {new_shape}")


def _summary(report: list[Outcome]) -> str:
    """A line: how many there are of each kind, and the names of what was reshaped, left over or
    skipped."""
    parts = []
    for kind in ("copied", "coerced", "dropped", "skipped", "kept"):
        names = [outcome.name for outcome in report if outcome.kind == kind]
        named = f" ({', '.join(names)})" if names and kind not in ("copied", "kept") else ""
        if names or kind != "skipped":
            parts.append(f"{len(names)} {PRINTED.get(kind, kind)}{named}")
    return "transplant: " + ", ".join(parts)
