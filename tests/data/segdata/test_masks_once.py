"""An import that `solve --images --masks` makes once."""

import argparse

import pytest

import label_forms
from segdata.errors import DataError
from segdata.importing.masks_once import import_once


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_damaged_record(tmp_path, monkeypatch, content):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    label_forms.index(tmp_path / "mine")
    args = argparse.Namespace(images=tmp_path / "mine" / "pictures", masks=tmp_path / "mine/drawn",
                              colours=None, foreground=(), val=None)
    record = import_once(args, None, False) / "report" / "import.json"
    record.write_bytes(content)
    with pytest.raises(DataError, match=rf"{record}: damaged: .*--fresh"):
        import_once(args, None, False)
    import_once(args, None, True)
    import_once(args, None, False)
