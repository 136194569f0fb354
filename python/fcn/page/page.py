"""Writes the folder of a page."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from fcn.export import title
from fcn.page import net, runtime
from fcn.page.errors import PageError
from fcn.solvers.inference.network import Chosen, Network, data_of, folders_of
from fcn.solvers.runs.run import Run
from segdata.files import new_folder
from segdata.overlay import has_background
from segdata.palette import class_colours

MANIFEST = "page.json"


def write(chosen: Chosen, directory: Path, side: int) -> dict[str, Any]:
    """Write a page of a net into a new folder, or in the place of another page; returns its
    manifest, which is there as page.json.

    side : pixels of the longer side to which photographs are scaled down, unless the person chooses
        another

    Raises PageError, and what `Network` raises, and then leaves `directory` as it was.
    """
    if directory.exists() and not is_page(directory) and (
            not directory.is_dir() or any(directory.iterdir())):
        raise PageError(f"{directory} is there and no page that this tool wrote; give another "
                        "folder (-o)")
    network = Network(chosen)
    with new_folder(directory, replace=True) as folder:
        stages = net.export(chosen, network, folder / "net.onnx")
        static = resources.files("fcn.page") / "static"
        for file in static.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "runtime").mkdir()
        runtime.unpack(folder / "runtime")
        manifest = facts(chosen) | {
            "classes": list(network.names), "colours": class_colours(network.names)[
                :len(network.names)].tolist(), "background": has_background(network.names),
            "input": network.net.inputs[0], "output": net.shown(network),
            "mean": [float(each) for each in chosen.inputs.mean], "channels": "BGR",
            "margin": network.margin, "multiple": network.multiple,
            "stages": [stage._asdict() for stage in stages], "side": side,
            "megabytes": _megabytes(folder), "memory": net.memory(network),
            "runtime": f"onnxruntime-web {runtime.VERSION}",
            "files": _files(folder)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n",
                                       encoding="utf-8")
    return manifest


def is_page(directory: Path) -> bool:
    """Whether a folder is one that `write` made."""
    return (directory / MANIFEST).is_file() and (directory / "net.onnx").is_file()


def facts(chosen: Chosen) -> dict[str, Any]:
    """What the page says of the net, None where nobody recorded it. The data are named by their
    folders, not where these lie: that is nobody else's business."""
    match = re.fullmatch(r"train_iter_(\d+)", chosen.weights.stem)
    iteration = int(match[1]) if match else None
    return {"name": title(chosen), "data": _data(chosen.run),
            "drawn": chosen.run is not None and chosen.run.is_miniature(),
            "iterations": iteration, "mean_iu": _mean_iu(chosen.run, iteration)}


def _data(run: Run | None) -> str | None:
    if run is None or run.is_miniature():
        return data_of(run) if run else None
    recorded = run.settings().get("data")
    folders = [Path(str(recorded))] if recorded else folders_of(run)
    return ", ".join(folder.name for folder in folders) or None


def _mean_iu(run: Run | None, iteration: int | None) -> float | None:
    """In percent, on the validation set, as log.csv has it of that iteration."""
    scores = {at: mean_iu for mean_iu, at in run.scored()} if run else {}
    return scores.get(iteration) if iteration is not None else None


def _megabytes(folder: Path) -> int:
    """Of what the page loads before it runs, rounded up."""
    return -(-sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 10**6)


def _files(folder: Path) -> dict[str, str]:
    """{name: SHA-256} of all files."""
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}
