"""Packages that only export needs."""

import sys

import pytest

import caffe.export
from caffe.errors import CaffeError


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "caffe.export.onnx_file", raising=False)
    with pytest.raises(CaffeError, match=r"to_onnx needs the package onnx.*\[export\]"):
        caffe.export.to_onnx
    with pytest.raises(AttributeError, match="no attribute 'to_paper'"):
        caffe.export.to_paper
