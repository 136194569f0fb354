"""The data layer for microscope images of cells; `segdata.cell_files` says how they lie."""

from pathlib import Path

import numpy as np

from segdata.cell_files import CLASSES, SUFFIXES, read_grey, sample_paths
from segdata.elastic import deform, displacements, draw_grid
from segdata.errors import Doubt
from segdata.instances import doubts, parted, read_instances, read_numbers
from segdata.layer import SegDataLayer
from segdata.means import GREY
from segdata.param_str import is_number, refusal


class CellSegDataLayer(SegDataLayer):
    """Grey images, float32 (1, height, width), and labels of two classes, background and cell; the
    directory key is `cells_dir`. Cells that touch are parted by background.

    One key beside those of `SegDataLayer`:

        elastic     the deviation in pixels, default 0, of the displacements of 3×3 points by which
                    training samples are deformed, before the window is taken
    """

    directory_keys = ("cells_dir",)
    required = ("split",)
    defaults = {**SegDataLayer.defaults, "elastic": 0}
    classes = {"label": len(CLASSES)}
    mean = np.array(GREY[0], np.float32)

    def configure(self) -> None:
        elastic = self.params["elastic"]
        if not (is_number(elastic) and elastic >= 0):
            raise self.error(refusal("elastic", elastic, "0 or more pixels"))

    def split_file(self, split: str) -> Path:
        return self.roots["cells_dir"] / f"{split}.txt"

    def paths(self, name: str) -> dict[str, Path]:
        return sample_paths(self.roots["cells_dir"], name, self.known_files)

    def doubts(self, top: str, path: Path) -> list[Doubt]:
        if top in self.classes:
            return doubts(read_numbers(path))
        return super().doubts(top, path)

    def suffixes(self, kind: str) -> tuple[str, ...]:
        return super().suffixes(kind) or SUFFIXES

    def decode_image(self, top: str, path: Path) -> np.ndarray:
        return read_grey(path).astype(np.float32)[None] - self.mean

    def decode_label(self, path: Path) -> np.ndarray:
        return (parted(read_instances(path)) > 0).astype(np.uint8)

    def augmented(self, arrays: dict[str, np.ndarray], position: int, seed: int
                  ) -> dict[str, np.ndarray]:
        arrays = super().augmented(arrays, position, seed)
        if not self.params["elastic"]:
            return arrays
        size = next(iter(arrays.values())).shape[-2:]
        shift = displacements(draw_grid(seed, position, self.params["elastic"]), size)
        return {top: deform(array, shift, nearest=top in self.classes)
                for top, array in arrays.items()}
