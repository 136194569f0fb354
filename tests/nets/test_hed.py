"""HED's net against what is known of the published one."""

import pytest

from fcn import nets


def test_layers_have_the_published_names_and_sizes():
    net = {layer.name: layer for layer in nets.hed().layer}
    trunk = [(f"conv{block}_{i}", channels) for block, (channels, depth) in enumerate(
        ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1) for i in range(1, depth + 1)]
    assert [(name, net[name].convolution_param.num_output, net[name].convolution_param.pad[0])
            for name, _ in trunk] == [(name, channels, 35 if name == "conv1_1" else 1)
                                      for name, channels in trunk]
    assert {name for name in net if name.startswith("pool")} == {f"pool{i}" for i in range(1, 5)}
    # offsets of the crops: centres of the kernels on the image's grid
    for block, offset in zip(range(1, 6), (34, 35, 36, 38, 42)):
        assert net[f"upscore-dsn{block}"].crop_param.offset == [offset]
        assert net[f"sigmoid-dsn{block}"].bottom == [f"upscore-dsn{block}"]
        score = net[f"score-dsn{block}"].convolution_param
        assert (score.num_output, score.kernel_size[0]) == (1, 1)
    for stride in (2, 4, 8, 16):
        up = net[f"upsample_{stride}"].convolution_param
        assert (up.num_output, up.stride[0], up.kernel_size[0]) == (1, stride, 2 * stride)
    assert list(net)[-3:] == ["concat-upscore", "new-score-weighting", "sigmoid-fuse"]


def test_the_command_writes_its_deploy_prototxt_alone(tmp_path):
    assert set(nets.write("hed", tmp_path)) == {"deploy"}
    assert [path.name for path in tmp_path.iterdir()] == ["deploy.prototxt"]
    with pytest.raises(ValueError, match="hed says where edges are: it has no classes"):
        nets.write("hed", tmp_path, num_classes=3)
