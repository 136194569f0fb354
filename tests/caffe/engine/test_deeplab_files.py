"""Prototxts in the form of DeepLab's releases train and test as they are: of the first in Caffe's
old format, of the second in the new one. Nets and images are small, the fields are those."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

import caffe
from caffe.cli import main

CLASSES, SIDE = 4, 41

DATA_V1 = """layers { name: "data" type: IMAGE_SEG_DATA top: "data" top: "label" TOPS
  image_data_param { root_folder: "FOLDER" source: "FOLDER/SPLIT.txt" BATCH }
  transform_param { mean_value: 104.008 mean_value: 116.669 mean_value: 122.675 TRANSFORM }
  include: { phase: PHASE } }
"""
BODY_V1 = """
layers { bottom: "data" top: "conv1" name: "conv1" type: CONVOLUTION strict_dim: false
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 6 pad: 1 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { bottom: "conv1" top: "conv1" name: "relu1" type: RELU }
layers { bottom: "conv1" top: "pool1" name: "pool1" type: POOLING
  pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }
layers { bottom: "pool1" top: "pool2" name: "pool2" type: POOLING
  pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }
layers { bottom: "pool2" top: "pool3" name: "pool3" type: POOLING
  pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }
layers { bottom: "pool3" top: "conv5" name: "conv5" type: CONVOLUTION blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 6 pad: 2 hole: 2 kernel_size: 3
                      weight_filler { type: "xavier" } } }
layers { bottom: "conv5" top: "pool5a" name: "pool5a" type: POOLING
  pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 } }
layers { bottom: "pool5a" top: "fc6" name: "fc6" type: CONVOLUTION blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 8 pad: 12 hole: 12 kernel_size: 3
                      weight_filler { type: "xavier" } } }
layers { bottom: "fc6" top: "fc6" name: "relu6" type: RELU }
layers { bottom: "fc6" top: "fc6" name: "drop6" type: DROPOUT
  dropout_param { dropout_ratio: 0.5 } }
layers { bottom: "fc6" top: "fc8_x" name: "fc8_x" type: CONVOLUTION strict_dim: false
  blobs_lr: 10 blobs_lr: 20 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "gaussian" std: 0.01 }
                      bias_filler { type: "constant" value: 0 } } }
"""
ENDS_V1 = """layers { bottom: "label" top: "label_shrink" name: "label_shrink" type: INTERP
  interp_param { shrink_factor: 8 pad_beg: 0 pad_end: 0 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc8_x" bottom: "label_shrink"
  softmaxloss_param { ignore_label: 255 } include: { phase: TRAIN } }
layers { name: "accuracy" type: SEG_ACCURACY bottom: "fc8_x" bottom: "label_shrink"
  top: "accuracy" seg_accuracy_param { ignore_label: 255 } }
"""
TEST_V1 = """layers { bottom: "fc8_x" top: "fc8_interp" name: "fc8_interp" type: INTERP
  interp_param { zoom_factor: 8 } }
layers { bottom: "fc8_interp" bottom: "data_dim" bottom: "data" top: "crf_inf" name: "crf"
  type: DENSE_CRF dense_crf_param { max_iter: 10 pos_w: 3 pos_xy_std: 3 bi_w: 5 bi_xy_std: 50
  bi_rgb_std: 10 } include: { phase: TEST } }
layers { name: "fc8_crop" type: PADDING bottom: "fc8_interp" top: "fc8_crop"
  padding_param { pad_beg: -7 pad_end: -8 } }
layers { name: "fc8_mat" type: MAT_WRITE bottom: "fc8_crop" mat_write_param { prefix: "FOLDER/fc8/"
  source: "FOLDER/val_id.txt" strip: 0 period: 1 } include: { phase: TEST } }
layers { bottom: "label" name: "silence" type: SILENCE include: { phase: TEST } }
"""
STEP = 'lr_policy: "step" gamma: 0.1 stepsize: 2 base_lr: 0.001'
POLY = 'lr_policy: "poly" power: 0.9 base_lr: 0.001 iter_size: 2'
SOLVER = """RATE display: 1 max_iter: 4 momentum: 0.9 weight_decay: 0.0005 snapshot: 4
snapshot_prefix: "FOLDER/train" solver_mode: CPU random_seed: 1 """


@pytest.fixture
def folder(tmp_path):
    """Three images with labels of which one has void, the lists train.txt and val.txt."""
    rng = np.random.default_rng(0)
    for i, size in enumerate([(30, 44), (41, 41), (50, 38)]):
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(tmp_path / f"{i}.png")
        label = rng.integers(0, CLASSES, size, np.uint8)
        label[:3] = 255
        Image.fromarray(label).save(tmp_path / f"l{i}.png")
    (tmp_path / "train.txt").write_text("".join(f"/{i}.png /l{i}.png\n" for i in range(3)))
    (tmp_path / "val.txt").write_text("/0.png\n")
    (tmp_path / "val_id.txt").write_text("0\n")
    (tmp_path / "fc8").mkdir()
    return tmp_path


def write(folder, name, text, **values):
    for key, value in {"FOLDER": folder, **values}.items():
        text = text.replace(key, str(value))
    (folder / name).write_text(text)
    return str(folder / name)


def upgraded(folder, name):
    """The prototxt in the new format, as the second release has it."""
    assert not main(["upgrade_net_proto_text", str(folder / name), str(folder / f"new_{name}")])
    return str(folder / f"new_{name}")


@pytest.mark.parametrize("new, rate", [(False, STEP), (True, POLY)])
def test_training_and_testing(folder, new, rate):
    net = write(folder, "train.prototxt", DATA_V1 + BODY_V1 + ENDS_V1, TOPS="", SPLIT="train",
                PHASE="TRAIN", BATCH="label_type: PIXEL batch_size: 2 shuffle: true",
                TRANSFORM=f"crop_size: {SIDE} mirror: true")
    if new:
        net = upgraded(folder, "train.prototxt")
        text = (folder / "new_train.prototxt").read_text()
        assert "layers {" not in text and "ImageSegData" in text
    solver = write(folder, "solver.prototxt", f'train_net: "{net}"\n' + SOLVER, RATE=rate)
    assert not main(["train", "--solver", solver])
    trained = str(folder / "train_iter_4.caffemodel")

    solver = caffe.get_solver(solver)
    solver.step(1)
    blobs = solver.net.blobs
    assert blobs["data"].data.shape == (2, 3, SIDE, SIDE)
    assert blobs["fc8_x"].data.shape == (2, CLASSES, 6, 6)
    np.testing.assert_array_equal(blobs["label_shrink"].data, blobs["label"].data[:, :, ::8, ::8])
    for name in ("conv1", "conv5", "fc6", "fc8_x"):
        gradient = solver.net.params[name][0].diff
        assert np.isfinite(gradient).all() and gradient.any()
    assert blobs["accuracy"].data.shape == (1, 1, 1, 3)

    test = write(folder, "test.prototxt", DATA_V1 + BODY_V1 + TEST_V1, TOPS='top: "data_dim"',
                 SPLIT="val", PHASE="TEST", BATCH="batch_size: 1 has_label: false",
                 TRANSFORM="crop_size: 57 mirror: false")
    net = caffe.Net(upgraded(folder, "test.prototxt") if new else test, trained, caffe.TEST)
    net.forward()
    assert net.blobs["data_dim"].data.ravel().tolist() == [30, 44]
    found = net.blobs["crf_inf"].data
    assert found.shape == net.blobs["fc8_interp"].data.shape == (1, CLASSES, 57, 57)
    np.testing.assert_allclose(found[0, :, :30, :44].sum(0), 1, rtol=1e-5)
    assert not found[0, :, 30:].any() and not found[0, :, :, 44:].any()
    written = loadmat(folder / "fc8" / "0_blob_0.mat")["data"]      # MATLAB drops a last axis of 1
    np.testing.assert_allclose(written.reshape(42, 42, CLASSES).T,
                               net.blobs["fc8_interp"].data[0, :, 7:49, 7:49], rtol=1e-6)


def test_a_crop_that_would_mix_labels_is_refused(folder):
    write(folder, "train.prototxt", DATA_V1 + BODY_V1 + ENDS_V1, TOPS="", SPLIT="train",
          PHASE="TRAIN", BATCH="label_type: PIXEL batch_size: 2", TRANSFORM="crop_size: 40")
    with pytest.raises(caffe.CaffeError, match="(?s)label_shrink.*would mix.*a crop of 41"):
        caffe.Net(str(folder / "train.prototxt"), caffe.TRAIN)
