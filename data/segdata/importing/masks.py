"""Masks as images: class numbers, colours, or two values for background and foreground."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from segdata.classes import VOID
from segdata.errors import DataError
from segdata.importing.colours import code, colour, find_names, find_table, read_table
from segdata.importing.labelled import VOID_NAME, Labelled, Options, Sample
from segdata.importing.numbering import places
from segdata.importing.pairs import Pairing, find_pairs, in_folders
from segdata.importing.threads import for_each
from segdata.importing.tree import Tree
from segdata.palette import class_colours, colour_map
from segdata.readers import GREY_STEPS, png_bits

ENDS = 32               # how far compression moves the values of a mask of 0 and 255
BLURRED = 0.9           # the share of pixels that lie there in such a mask, at least
SPREAD = 10             # the step of greys that stand for classes, at least
LOOKED_AT = 8           # masks, to see whether a table is theirs
MOST_COLOURS = 254      # 255 labels, of which one is void


class Reading(NamedTuple):
    """How masks are read: {stored value: class name}, a reader of stored values, what to say."""
    values: dict[int, str]
    reader: Callable[[Path], np.ndarray]
    notes: list[str]


def load(path: Path, coloured: bool = False) -> np.ndarray:
    """A mask as it is stored: numbers (height, width) or, of colours, uint8 (height, width, 3).

    Palette images are numbers, unless `coloured`. Colours of which each is a grey are numbers, and
    what is transparent is black. Raises DataError naming the file if it cannot be read.
    """
    try:
        with Image.open(path) as image:
            if image.mode == "L" and image.format == "PNG" and not coloured:
                return np.asarray(image) // GREY_STEPS[png_bits(path)]
            if not coloured and image.mode[0] in "PL1IF" and image.mode not in ("PA", "LA"):
                return np.asarray(image).astype(np.int32)
            array = np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a readable mask: {error}; export it again as PNG") from None
    array = np.where(array[..., 3:] < 128, 0, array[..., :3]).astype(np.uint8)
    grey = (array[..., :1] == array).all()
    return array[..., 0] if grey and not coloured else array


def labelled(pairing: Pairing, tree: Tree, reading: Reading) -> Labelled:
    """The samples of pairs of images and masks."""
    samples = [Sample(image, mask, partial(reading.reader, mask),
                      tree.split(image) or tree.split(mask)) for image, mask in pairing.pairs]
    return Labelled(samples, reading.values, reading.notes, pairing.problems, pairing.unlabelled)


def reading(masks: Sequence[Path], folders: Sequence[Path], options: Options) -> Reading:
    """The `Reading` of masks; tables of colours and lists of names are looked for in `folders`."""
    names = find_names(folders)
    if options.foreground:
        return of_foreground(masks, options, two_names(names))
    if options.colours:
        return by_table(read_table(options.colours), options.colours)
    if file := find_table(folders):
        table = read_table(file)
        if options.kind == "colours" or options.kind == "" and fits(table, masks):
            return by_table(table, file)
        names = names or (file, list(dict.fromkeys(table.values())))
    counts = contents(masks)
    values = {value: pixels for (_, value), pixels in counts.items()}
    if options.kind == "colours" or any(is_colour for is_colour, _ in counts) or (
            options.kind == "" and not names and spread(values)):
        return by_colours_found(masks, names)
    may_be_two = not names or len(names[1]) <= 2 and 1 not in values
    if options.kind == "binary" or options.kind != "index" and may_be_two:
        two = of_two_values(masks, values, two_names(names))
        if two:
            return two
        if options.kind == "binary":
            raise DataError(f"the masks have the values {few(values)}; which of them is the "
                            "foreground? Give --foreground VALUE")
    return by_number(masks, values, names)


def fits(table: dict[int, str], masks: Sequence[Path]) -> bool:
    """Whether a table of colours is that of the first masks, of which some may be coloured and
    some black throughout."""
    found: set[int] = set()
    for path in masks[:LOOKED_AT]:
        with suppress(DataError):
            if load(path).ndim == 3:
                return True
        found |= colours_of(path)
    return found <= table.keys()


def spread(values: dict[int, int]) -> bool:
    """Whether numbers are greys that people see, such as 0, 85, 170 and 255, not class numbers."""
    return len(values) > 2 and math.gcd(*(value for value in values if value != VOID)) >= SPREAD


def contents(masks: Sequence[Path]) -> Counter:
    """{(whether it is a colour, number or code of the colour): pixels} over all masks. What cannot
    be read is left to who needs it."""
    total: Counter = Counter()
    for counts in for_each(content, masks, "looking at masks"):
        total.update(counts)
    if not total:
        raise DataError(f"none of {len(masks)} masks can be read, such as {masks[0]}")
    return total


def content(path: Path) -> Counter:
    try:
        mask = load(path)
    except DataError:
        return Counter()
    is_colour = mask.ndim == 3
    numbers, pixels = np.unique(code(mask) if is_colour else mask, return_counts=True)
    return Counter(dict(zip([(is_colour, int(number)) for number in numbers], pixels.tolist())))


# colours

def by_table(table: dict[int, str], file: Path) -> Reading:
    return Reading(table, partial(read_colours, table=table, file=str(file)),
                   [f"the colours are those of {file}"])


def read_colours(path: Path, table: dict[int, str], file: str) -> np.ndarray:
    """The codes of the colours of a mask; DataError unless all are in the table."""
    codes = code(load(path, coloured=True))
    _, strange = places(codes, table)
    if strange.any():
        found, pixels = np.unique(codes[strange], return_counts=True)
        unknown = dict(zip(found.tolist(), pixels.tolist()))
        some = sorted(unknown, key=lambda number: -unknown[number])[:3]
        listed = ", ".join(f"{' '.join(map(str, colour(number)))} ({unknown[number]} pixels)"
                           for number in some)
        many = " The file has smoothed or compressed edges: export it without them." \
            if len(unknown) > FEW_UNKNOWN else ""
        raise DataError(f"{path}: {len(unknown)} colours that {file} does not name, such as "
                        f"{listed}; add a line `R G B name` for each, with the name void for what "
                        f"is to be ignored.{many}")
    return codes


FEW_UNKNOWN = 8


def by_colours_found(masks: Sequence[Path], names: tuple[Path, list[str]] | None) -> Reading:
    """Each colour that occurs is a class; black is the background. Colours of PASCAL VOC's map are
    the classes of their places in it."""
    of_each = for_each(colours_of, masks, "looking at colours")
    found = set().union(*of_each)
    if len(found) > MOST_COLOURS:
        most = max(range(len(masks)), key=lambda number: len(of_each[number]))
        raise DataError(f"{masks[most]}: it has {len(of_each[most])} colours, with those of the "
                        f"other masks {len(found)}; masks have one colour a class. Is it a "
                        "photograph, or has it smoothed or compressed edges? Export it as PNG "
                        "without them")
    if table := voc_table(found, names[1] if names else []):
        return Reading(table, partial(read_colours, table=table, file="PASCAL VOC"),
                       ["the colours are those of PASCAL VOC's map, which has them in the order of "
                        "the classes"])
    table = {number: "background" if number == 0 else "colour_{:02x}{:02x}{:02x}".format(
        *colour(number)) for number in sorted(found)}
    return Reading(table, partial(read_colours, table=table, file="the list of colours found"),
                   [f"{len(table)} colours were found; to name their classes, change the names in "
                    "report/colours.txt and import again with --colours FILE",
                    *([f"{names[0]} does not say which colour is which class"] if names else [])])


def voc_table(found: set[int], names: list[str]) -> dict[int, str]:
    """The table of colours of PASCAL VOC's map, {} if the colours are others. Without names they
    are only taken for it where that of its void occurs. Class 0 may have the colour, too, that
    label images of this project give one that is no background."""
    *codes, void = code(colour_map()).tolist()
    classes = [number for number, each in enumerate(codes) if each in found]
    if not names and void in found:
        names = [f"class{number}" for number in range(max(classes, default=0) + 1)]
    if not names:
        return {}
    of_first = int(code(class_colours(names)[0]))
    table = {**dict(zip(codes, names)), of_first: names[0], void: VOID_NAME}
    return table if found <= table.keys() else {}


def colours_of(path: Path) -> set[int]:
    """The codes of the colours of a mask; none if it cannot be read, which is said later."""
    try:
        return set(np.unique(code(load(path, coloured=True))).tolist())
    except DataError:
        return set()


# two values

def two_names(names: tuple[Path, list[str]] | None) -> list[str]:
    """The names of background and foreground, from a list of both or of the latter alone."""
    listed = names[1] if names else []
    if len(listed) == 2:
        return listed
    return ["background", listed[0] if len(listed) == 1 else "foreground"]


def of_foreground(masks: Sequence[Path], options: Options, names: list[str]) -> Reading:
    """One value, or one colour, is the foreground, all else the background."""
    value = options.foreground
    wanted = value[0] if len(value) == 1 else int(code(np.array(value)))

    def read(path: Path) -> np.ndarray:
        mask = load(path, coloured=len(value) == 3)
        if mask.ndim == 3 and len(value) == 1:
            raise DataError(f"{path}: it is coloured, no grey image; give --foreground R,G,B")
        return ((code(mask) if mask.ndim == 3 else mask) == wanted).astype(np.int32)

    if not any(content_has(path, read) for path in masks):
        raise DataError(f"no mask has the foreground {','.join(map(str, value))}; {masks[0]} has "
                        f"{few(number for _, number in content(masks[0]))}")
    return Reading(dict(enumerate(names)), read,
                   [f"foreground is the value {', '.join(map(str, value))}, all else background"])


def content_has(path: Path, read: Callable[[Path], np.ndarray]) -> bool:
    try:
        return bool(read(path).any())
    except DataError:
        return False


def of_two_values(masks: Sequence[Path], values: dict[int, int],
                  names: list[str]) -> Reading | None:
    """Masks of two values, of which the larger is the foreground; None if they are none.

    Masks of 0 and 255 with smoothed or compressed edges are such, too.
    """
    if len(values) == 2 and set(values) != {0, 1}:
        low, high = sorted(values)
        return Reading({low: names[0], high: names[1]}, load,
                       [f"the masks have two values: {low} is background, {high} foreground"])
    lossy = any(path.suffix.lower() in (".jpg", ".jpeg") for path in masks)
    if is_blurred(values, ENDS if lossy else 0):
        return Reading(dict(enumerate(names)), read_halves,
                       ["the masks are of 0 and 255 with values between (smoothed or compressed); "
                        "from 128 on is foreground"])
    return None


def is_blurred(values: dict[int, int], margin: int) -> bool:
    """Whether nearly all pixels are 0 or 255, give or take `margin`, and the others between."""
    low, high = (sum(pixels for value, pixels in values.items() if abs(value - end) <= margin)
                 for end in (0, 255))
    between = sum(values.values()) - low - high
    return (low + high >= BLURRED * sum(values.values()) and high > between
            and (margin > 0 or any(ENDS < value < 255 - ENDS for value in values)))


def read_halves(path: Path) -> np.ndarray:
    return (load(path) >= 128).astype(np.int32)


# numbers

def by_number(masks: Sequence[Path], values: dict[int, int],
              names: tuple[Path, list[str]] | None) -> Reading:
    """The numbers in the files are the classes, 255 is void."""
    lossy = next((path for path in masks if path.suffix.lower() in (".jpg", ".jpeg")), None)
    if lossy and len(values) > 2:
        raise DataError(f"{lossy}: a JPEG file does not keep class numbers; export the masks as "
                        "PNG")
    if max(values) > VOID or min(values) < 0:
        raise DataError(f"the masks have the values {few(values)}; class numbers are 0 to 254, 255 "
                        "is void. Are they numbers of instances, or depths? Export class numbers")
    if names is None:
        largest = max((value for value in values if value != VOID), default=0)
        named = {value: f"class{value}" for value in range(largest + 1)}
        return Reading(named | {VOID: VOID_NAME}, partial(read_numbers, named=named, file=""), [
            "the classes have numbers for names; a file classes.txt beside the masks, one name a "
            "line, would name them"])
    path, listed = names
    named = dict(enumerate(listed))
    return Reading(named | {VOID: VOID_NAME}, partial(read_numbers, named=named, file=str(path)),
                   [f"the names are those of {path}"])


def read_numbers(path: Path, named: dict[int, str], file: str) -> np.ndarray:
    """The numbers of a mask; DataError unless all have names."""
    mask = load(path)
    if mask.ndim == 3:
        raise DataError(f"{path}: it is coloured, where other masks hold class numbers")
    _, strange = places(mask, (*named, VOID))
    if strange.any():
        raise DataError(f"{path}: it has the values {few(set(mask[strange].tolist()))}, but {file} "
                        f"names the classes 0 to {max(named)}; add the names")
    return mask


def few(values: object) -> str:
    listed = sorted(values)     # type: ignore[call-overload]
    return ", ".join(map(str, listed[:8])) + (", ..." if len(listed) > 8 else "")


# the form: an image and a mask in any two folders

NAME, TITLE = "masks", "masks beside images"


def recognises(tree: Tree) -> str:
    pairs = find_pairs(tree).pairs
    return str(tree.relative(pairs[0].mask).parent) if pairs else ""


def read(tree: Tree, options: Options) -> Labelled:
    pairing = in_folders(options.images, options.masks) if options.images and options.masks \
        else find_pairs(tree)
    masks = [pair.mask for pair in pairing.pairs]
    folders = [*dict.fromkeys([path.parent for path in masks] + [path.parent.parent
                                                                 for path in masks]), tree.root]
    return labelled(pairing, tree, reading(masks, folders, options))
