"""What a net takes at inference, made of files as its data layer makes it in training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nyud_layers import log_depth, subtract_hha_mean
from segdata.errors import InputError
from segdata.hha import convert
from segdata.readers import read_depth, read_hha, subtract_mean

CHANNELS = {"color": 3, "grey": 1, "depth": 1, "hha": 3}
# of the files that an input can be made of, the first that is given is taken
FILES = {"color": (), "grey": (), "depth": ("depth",), "hha": ("hha", "depth")}


class Inputs:
    """Makes the input arrays of a net, for one photograph after the other.

    kinds : of the inputs in order, 'color', 'grey', 'depth' (its logarithm) or 'hha'
    mean : B G R, of colour; of grey, the first
    files : {'depth': path, 'hha': path}: a file, for a single photograph, or a folder of PNG files
        named as the photographs; None where there are none. HHA is computed where only the depth
        is given. Raises InputError unless the net takes what is given, and no more.
    """

    def __init__(self, kinds: Sequence[str], mean: Sequence[float],
                 files: dict[str, Path | None]) -> None:
        self.kinds, self.mean = kinds, np.reshape(mean, (3, 1, 1))
        given = {option for option, path in files.items() if path}
        usable = {option for kind in kinds for option in FILES[kind]}
        lacking = [kind for kind in kinds if FILES[kind] and given.isdisjoint(FILES[kind])]
        if lacking:
            options = " or ".join(f"--{option}" for option in FILES[lacking[0]])
            raise InputError(f"the net takes {' and '.join(kinds)}: give {options}")
        if given - usable:
            raise InputError(f"the net takes {' and '.join(kinds)} alone, no "
                             f"{' and '.join(sorted(given - usable))}")
        self.files = files

    def read(self, path: Path, image: Image.Image) -> list[np.ndarray]:
        """[float32 (channels, height, width)], one an input, of the photograph `image` (RGB) in
        the file `path`. Raises InputError naming the file, unless all have its size."""
        own = {"color": self.colour, "grey": self.grey}
        return [own[kind](image) if kind in own else self.beside(kind, path, image)
                for kind in self.kinds]

    def colour(self, image: Image.Image) -> np.ndarray:
        return subtract_mean(np.asarray(image), self.mean)

    def grey(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.convert("L"), np.float32)[None] - np.float32(self.mean.flat[0])

    def beside(self, kind: str, path: Path, image: Image.Image) -> np.ndarray:
        option, file = next((option, file) for option in FILES[kind]
                            if (file := self.files[option]))
        file = file / f"{path.stem}.png" if file.is_dir() else file
        try:
            array = READERS[kind, option](file)
        except FileNotFoundError:
            raise InputError(f"{file}: no such file, the {option} of {path}") from None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{file}: {error}") from None
        height, width = array.shape[1:]
        if (width, height) != image.size:
            raise InputError(f"{file} is {width}x{height}, but {path} is {image.width}x"
                             f"{image.height} (width x height)")
        return array


READERS = {("depth", "depth"): lambda path: log_depth(read_depth(path))[None],
           ("hha", "hha"): lambda path: subtract_hha_mean(read_hha(path)),
           ("hha", "depth"): lambda path: subtract_hha_mean(convert(path))}
