"""Where downloads lie: the variable, the checkout, or the current folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import segdata
from segdata.paths import data_root

PACKAGE = Path(segdata.__file__).parent


def test_the_variable_counts_first(monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_DATA", str(tmp_path / "big disk"))
    assert data_root() == tmp_path / "big disk"
    monkeypatch.setenv("FCN_DATA", "~/data")
    assert data_root() == Path.home().resolve() / "data"


def test_a_checkout_has_its_store_beside_the_package(monkeypatch, tmp_path):
    monkeypatch.delenv("FCN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert data_root() == PACKAGE.parent / "store"


def test_an_installed_copy_takes_the_current_folder(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "site-packages/segdata")
    environment = {name: value for name, value in os.environ.items() if name != "FCN_DATA"}
    said = subprocess.run(
        [sys.executable, "-c", "from segdata.paths import data_root; print(data_root())"],
        env={**environment, "PYTHONPATH": str(tmp_path / "site-packages")}, cwd=tmp_path,
        capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(tmp_path.resolve() / "data" / "store")
