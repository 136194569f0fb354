"""The experiment on people's own folder of labelled images."""

from dataclasses import replace
from pathlib import Path

from fcn import nets
from fcn.nets.layers import Sides
from fcn.nets.source import Source, folder
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.families import family_of
from segdata.paths import build_root

HEAD = "fcn8s"      # of a net on one's own folder


def default_name(folder_name: str, head: str) -> str:
    """The name of a run on a folder: FOLDER-HEAD, or data-FOLDER-HEAD where that is another's."""
    name = f"{folder_name}-{head}"
    return name if _is_free(name) else f"data-{name}"


def _is_free(name: str) -> bool:
    """Whether a folder under build/ can be that of a run on a folder of data."""
    return (Path(name).name == name and not name.startswith((".", "demo"))
            and name not in (*nets.NAMES, "analysis", "imported", "infer"))


def on_folder(path: str | Path, name: str | None = None, head: str = HEAD, width: float = 0.125,
              iterations: int = 2_400, lr: float = 6e-9, interval: int = 800,
              num_classes: int | None = None) -> Experiment:
    """An experiment on any folder in VOC layout, from random initialisation at reduced width.

    `name` is that of the folder under build/, default `default_name`. `num_classes` says how many
    classes there are where no classes.txt does.
    Without ILSVRC weights the trunk starts from the msra filler, which expects inputs of unit
    variance: images are scaled by 1/58 after the mean is subtracted. There are no later stages
    with their lower rates, so the rate drops for the last quarter.
    """
    import folder_layers
    path = Path(path).resolve()
    names = tuple(folder_layers.class_names(path) if num_classes else
                  folder_layers.describe(path).classes)
    if num_classes and len(names) not in (0, num_classes):
        raise RunError(f"--num-classes {num_classes}, but {path / 'classes.txt'} has {len(names)} "
                       "names; leave --num-classes out, or correct that file")
    names = names or tuple(f"class{number}" for number in range(num_classes or 0))
    name = name or default_name(path.name, head)
    if not _is_free(name):
        raise RunError(f"{path}: the run cannot have the name '{name}', of a folder under "
                       f"{build_root()} that is another's; choose another --name")
    if len(names) > 255:
        raise RunError(f"{path}: {len(names)} classes; there can be 255, for 255 is void")
    source = folder(path, len(names), mirror=True)
    family = family_of(head)
    if family.batch > 1:
        source = source.with_training(batch=family.batch)
    if family.crops:
        source = source.with_training(crop=_crop(source, *family.crops))
    experiment = Experiment(
        name, {}, lr, head, source, {"label": names}, iterations, drop=0.75, interval=interval,
        data=str(path), net=dict(width=width, filler="msra", scale=1 / 58))
    return replace(experiment, **family.from_scratch.get(head, {}))


def _crop(source: Source, sides: Sides, most: int) -> tuple[int, int]:
    """Height and width of crops with such sides that hold all training images, up to `most`."""
    from fcn.solvers.experiments.splits import read_split
    sizes = [(*sample.size,) for sample in read_split(*source.train).good]
    height, width = (min(most, sides.covering(max(lengths)))
                     for lengths in zip(*sizes or [(most, most)]))
    return height, width
