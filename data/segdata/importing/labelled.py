"""What every form of labels is read into."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from segdata.classes import VOID
from segdata.errors import DataError, Doubt, UserError
from segdata.importing.tree import Tree

NOTHING = -1        # the stored value of what is named VOID_NAME, in forms that draw shapes
VOID_NAME = "void"
SPLITS = ("train", "val", "test")


class Sample(NamedTuple):
    """An image and its label.

    image : its file
    source : the file of its label, for messages
    label : () -> whole numbers (height, width) as the form stores them; DataError if it cannot
    split : 'train', 'val', 'test', or '' where the form does not say
    """
    image: Path
    source: Path
    label: Callable[[], np.ndarray]
    split: str = ""


@dataclass
class Labelled:
    """Labelled images of one form.

    samples : in the order of the split lists, where there are any
    values : {stored value: name of its class}; several values may be of one class
    notes, problems : sentences for the report: how the labels were read; what is amiss
    unlabelled : images that have no label
    """
    samples: list[Sample]
    values: dict[int, str]
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unlabelled: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """What the command line says about the labels.

    colours : a file with the colours of the classes
    foreground : the value of a mask, or its colour (R, G, B), that is the object
    images, masks : the folders of the images and of their masks
    scratch : an empty folder for what a form has to unpack
    kind : of masks: 'index', 'colours' or 'binary'; '' to see by their content
    """
    colours: Path | None = None
    foreground: tuple[int, ...] = ()
    images: Path | None = None
    masks: Path | None = None
    scratch: Path = Path()
    kind: str = ""


@dataclass(frozen=True)
class Request:
    """What is imported, and how: the command line of `fcn import`.

    share : of the samples that validate, where the source does not say; None: 0.2
    folds : the number of folders, each with another part of the samples to validate; 0: none
    form : one of recognise.FORMATS, '' to recognise it
    """
    source: Path
    target: Path
    options: Options = field(default_factory=Options)
    form: str = ""
    share: float | None = None
    folds: int = 0
    seed: int = 0
    fresh: bool = False


class Written:
    """A sample as it is written, or `problem`, why it is not.

    size : (height, width); pixels : int64 (256,), of each class; done : what was done to its label;
    doubt : about its image
    """

    def __init__(self, sample: Sample, name: str) -> None:
        self.sample, self.name = sample, name
        self.problem = self.done = ""
        self.doubt: Doubt | None = None
        self.size = (0, 0)
        self.pixels = np.zeros(VOID + 1, np.int64)

    @property
    def classes(self) -> set[int]:
        return set(np.flatnonzero(self.pixels[:VOID]).tolist())


class Form(Protocol):
    """A module that reads one form."""
    NAME: str
    TITLE: str

    @staticmethod
    def recognises(tree: Tree) -> str: ...

    @staticmethod
    def read(tree: Tree, options: Options) -> Labelled: ...


def reason(error: Exception) -> str:
    """What went wrong, for a message."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error) \
        or type(error).__name__


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file leads to while it is read into a DataError that names it."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        raise DataError(f"{path}: damaged: {reason(error)}; export it again") from None
