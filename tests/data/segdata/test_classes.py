"""The names of classes, and the file that has them."""

import pytest

from segdata.classes import VOC, read_class_names


def test_voc_has_21_classes():
    assert len(VOC) == len(set(VOC)) == 21
    assert VOC[15] == "person"


def test_class_names(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffsky\r\nzebra crossing \r\n\r\ncafé\r\n".encode())
    assert read_class_names(path) == read_class_names(path, 3) == ["sky", "zebra crossing", "café"]
    with pytest.raises(ValueError, match="classes.txt: 3 names for 4 classes"):
        read_class_names(path, 4)
    path.write_text("sky\nzebra crossing\ncaf\xe9\n", encoding="utf-16")
    assert len(read_class_names(path, 3)) == 3
    path.write_bytes(b"sky\ncaf\xe9\n")
    with pytest.raises(ValueError, match="classes.txt:2: not UTF-8 text"):
        read_class_names(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="classes.txt is empty"):
        read_class_names(path)
