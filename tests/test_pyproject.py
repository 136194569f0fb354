"""What pyproject.toml installs is what there is."""

import re

from fcn.nets.source import ROOT


def listed(name):
    text = (ROOT / "pyproject.toml").read_text()
    return sorted(re.findall(r'"(.+?)"', re.search(rf"^{name} = \[(.*?)\]", text, re.M | re.S)[1]))


def test_every_module_in_data_is_installed():
    assert listed("py-modules") == sorted(path.stem for path in (ROOT / "data").glob("*.py"))


def test_every_package_is_installed():
    packages = [path.parent.relative_to(ROOT) for top in (
        "python", "data", "nets", "surgery", "solvers", "analysis")
        for path in (ROOT / top).rglob("__init__.py")]
    assert listed("packages") == sorted(
        ".".join(path.parts).removeprefix("python.").removeprefix("data.")
        if path.parts[0] in ("python", "data") else ".".join(("fcn", *path.parts))
        for path in packages)
