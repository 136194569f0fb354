"""What the miniatures of DeepLab, CRF-RNN and dilated convolutions must reach: minutes a seed."""

from types import SimpleNamespace

import pytest

from fcn.analysis import deeplab, dilated

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("seed", range(3))]


def test_holes_and_a_crf_each_add_to_the_same_net(seed, tmp_path):
    found = deeplab.run(SimpleNamespace(seeds=[seed], directory=tmp_path))[seed]
    assert found["LargeFOV with CRF"] >= found["LargeFOV"] + deeplab.POINTS
    assert found["LargeFOV"] >= found["stride 32"] + 5


def test_a_crf_that_learns_adds_to_fcn8s_and_context_to_the_front_end(seed, tmp_path):
    found = dilated.run(SimpleNamespace(seeds=[seed], directory=tmp_path))[seed]
    assert found["CRF-RNN"] > found["FCN-8s"]
    assert found["context"] > found["front end"]
