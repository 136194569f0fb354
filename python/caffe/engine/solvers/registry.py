"""The types of solvers: by which name a solver prototxt reaches which class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...errors import CaffeError, did_you_mean
from ...formats import prototxt

if TYPE_CHECKING:
    from .solver import Solver

_registry: dict[str, type[Solver]] = {}


def register_solver(solver_type: str) -> Callable[[type[Solver]], type[Solver]]:
    """Class decorator: solver prototxts reach the class by `type: "<solver_type>"`."""
    def enter(cls: type[Solver]) -> type[Solver]:
        _registry[solver_type] = cls
        return cls
    return enter


def solver_types() -> list[str]:
    """The names of all solver types, sorted."""
    from . import rules  # noqa: F401  registers its classes
    return sorted(_registry)


def get_solver(solver_file: str, level: int = 0, stages: Sequence[str] = ()) -> Solver:
    """The solver, of the type that it names, of a solver prototxt (pycaffe's `get_solver`).

    level, stages : added to the train_state, as the command line's --level and --stage
    """
    if isinstance(stages, str):
        raise CaffeError(f"{solver_file}: stages is a list, stages=['{stages}'], not a text")
    solver_type = prototxt.read_solver(solver_file).type
    if solver_type not in solver_types():
        raise CaffeError(f"{solver_file}: unknown solver type '{solver_type}'"
                         + did_you_mean(solver_type, solver_types()))
    return _registry[solver_type](solver_file, level, stages)
