"""The paper in miniature, trained in each precision: the mean IU of its three stages."""

from argparse import Namespace
from pathlib import Path

from children import side_by_side
from part import Part

PRECISIONS = ("fp32", "tf32", "bf16")
LEAST = 60.0        # of FCN-8s; on CPUs 73 to 83, by seed and precision


def main() -> None:
    part = Part(__doc__, "precision", "output")
    if part.given.precision:
        train(part, part.given.precision, Path(part.given.output) / part.given.precision)
    else:
        in_processes(part)
    part.end()


def train(part: Part, precision: str, folder: Path) -> None:
    """Train the stages, as `fcn demo --gpu 0` does."""
    import tiny
    from fcn.solvers import demo
    from fcn.solvers.console import device
    from fcn.solvers.miniatures import miniature
    if part.dry:
        tiny.shrink()
    device.set_device(Namespace(gpu=None if part.dry else 0, precision=precision))
    found = {}
    for name in demo.STAGES:
        scores = miniature.train(name, folder, 0)[1]["label"]
        found[name] = 100 * scores.mean_iu
        part.found(name, scores=found)


def in_processes(part: Part) -> None:
    """Train in all precisions at once, and compare what they have come to by the deadline."""
    names, found = PRECISIONS[1:2] if part.dry else PRECISIONS, {}
    for found in side_by_side(part, __file__, names, "--output", str(part.folder)):
        part.found("mean IU of the stages, in percent: " + "; ".join(
            f"{name} {', '.join(f'{value:.1f}' for value in each.get('scores', {}).values())}"
            for name, each in found.items()), **found)
    for name in names:
        final = found.get(name, {}).get("scores", {}).get("voc-fcn8s")
        if final is None:
            part.fail(f"{name}: no scores of FCN-8s; {last_losses(part.folder / name)}")
        elif not part.dry:
            part.expect(final >= LEAST, f"{name}: FCN-8s has a mean IU of {final:.1f}%, expected "
                                        f"at least {LEAST:g}%")


def last_losses(folder: Path) -> str:
    """The end of each log of losses."""
    logs = sorted(folder.glob("**/log.csv"))
    return "; ".join(f"{log.parent.name}: {log.read_text().splitlines()[-1]}" for log in logs)


if __name__ == "__main__":
    main()
