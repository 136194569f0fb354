"""Blob: NumPy views that stay true, shapes, sharing."""

import numpy as np
import pytest
import torch

from caffe import Blob
from caffe.errors import LayerError


def test_a_new_blob_is_zero_and_float32():
    blob = Blob((2, 3))
    assert (blob.shape, blob.count, blob.data.dtype) == ((2, 3), 6, np.float32)
    assert not blob.data.any() and not blob.diff.any()


@pytest.mark.parametrize("rows, expected", [(1, [[3, 3]]), (2, [[3, 3]] * 2), (4, [[0, 0]] * 4)])
def test_values_that_are_stored_once_for_all_survive_a_reshape(rows, expected):
    """As the gradient by the bottom of a sum is."""
    blob = Blob((3, 2))
    blob.set_diff(torch.full((), 3.0).expand(3, 2))
    blob.reshape(rows, 2)
    assert blob.diff.tolist() == expected
    blob.reshape(rows, 1)
    assert blob.diff.tolist() == [row[:1] for row in expected]


def test_layers_see_what_is_written_in_place():
    blob = Blob((2, 2))
    blob.data[0] = 7
    blob.diff[...] = 3
    assert blob.data_tensor.tolist() == [[7, 7], [0, 0]]
    assert (blob.diff_tensor == 3).all()


def test_a_held_view_shows_what_layers_write():
    blob = Blob((3,))
    view = blob.data
    blob.set_data(torch.tensor([1.0, 2.0, 3.0]))
    assert view.tolist() == [1, 2, 3] and blob.data is view
    view[0] = 9
    assert blob.data_tensor.tolist() == [9, 2, 3]


def test_layers_hand_over_their_tensor_when_nobody_looks():
    blob, tensor = Blob((3,)), torch.ones(3)
    blob.data[...] = 2
    blob.set_data(tensor)
    assert blob.data_tensor.data_ptr() == tensor.data_ptr()


def test_reshape_keeps_values_where_memory_does_not_grow():
    blob = Blob((2, 3))
    blob.data[...] = np.arange(6).reshape(2, 3)
    blob.reshape(3, 2)
    assert blob.data.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    blob.reshape(4)
    assert blob.data.tolist() == [0, 1, 2, 3]
    blob.reshape(5, 5)
    assert blob.data.shape == blob.diff.shape == (5, 5)


def test_a_shape_cannot_be_negative():
    with pytest.raises(LayerError, match=r"shape \(2, -1\)"):
        Blob().reshape(2, -1)


def test_legacy_axes():
    blob = Blob((5, 4, 3))
    assert (blob.num, blob.channels, blob.height, blob.width) == (5, 4, 3, 1)
    with pytest.raises(LayerError, match="at most 4 axes"):
        Blob((1, 1, 1, 1, 1)).num


def test_sharing():
    one, two = Blob((2,)), Blob((2,))
    two.share_data(one)
    one.data[...] = [1, 2]
    two.diff[...] = 5
    assert two.data.tolist() == [1, 2] and not one.diff.any()
    two.share_diff(one)
    one.add_diff(torch.tensor([3.0, 4.0]))
    two.add_diff(torch.tensor([1.0, 1.0]))
    assert one.diff.tolist() == [4, 5]
    one.clear_diff()
    assert not two.diff.any()


def test_values_that_do_not_lie_in_one_piece_reach_a_view_of_another_shape():
    blob = Blob((1, 2, 4, 3))
    view = blob.data
    piece = torch.arange(48.0).reshape(1, 2, 4, 6)[..., ::2].transpose(2, 3)     # (1, 2, 3, 4)
    blob.set_data(piece)
    np.testing.assert_array_equal(blob.data, piece.numpy())
    assert view.size == blob.count


def test_what_is_only_read_elsewhere_can_be_written_without_a_wait(far):
    blob = Blob((3,))
    for value in 1, 2:
        blob.data[...] = value
        for _ in range(2):
            assert blob.data_to_read.device.type == "meta"
    assert [pinned.tolist() for pinned in far] == [[1, 1, 1], [2, 2, 2]]


def test_what_a_held_view_shows_is_sent_each_time(far):
    blob = Blob((2,))
    view = blob.data
    for value in 1, 2:
        view[...] = value
        blob.data_to_read
    assert [pinned.tolist() for pinned in far] == [[1, 1], [2, 2]]


@pytest.mark.parametrize("change", [
    lambda blob: blob.data_tensor.add_(1),
    lambda blob: blob.set_data(torch.ones(4, device="meta"))], ids=["in place", "new"])
def test_what_the_device_wrote_is_read_from_there(far, change):
    blob = Blob((4,))
    blob.data[...] = 1
    blob.data_to_read
    change(blob)
    assert blob.data_to_read.device == blob.data_nearby.device == torch.device("meta")
    with pytest.raises(NotImplementedError, match="meta"):
        blob.data


def test_what_was_written_in_cpu_mode_is_sent_anew(far, monkeypatch):
    blob = Blob((2,))
    blob.data[...] = 1
    blob.data_to_read
    with monkeypatch.context() as patch:
        patch.setattr("caffe.engine.memory.device", lambda: torch.device("cpu"))
        blob.data_tensor.add_(1)
    blob.data_to_read
    assert far[-1].tolist() == [2, 2]


def test_what_is_shared_in_another_shape_moves(far):
    """In whatever order the values lie, as those of kernels may that come from a GPU."""
    kernel, row = Blob((4, 3, 2, 2)), Blob((48,))
    kernel.set_data(torch.ones(4, 3, 2, 2).contiguous(memory_format=torch.channels_last))
    row.share_data(kernel)
    assert row.data_tensor.shape == (48,) and kernel.data_tensor.shape == (4, 3, 2, 2)


def test_another_shape_is_sent_anew(far):
    blob = Blob((2, 3))
    blob.data[...] = 1
    blob.data_to_read
    blob.reshape(4)
    assert blob.data_to_read.shape == (4,) and len(far) == 2


def test_what_another_shape_shares_can_move_whatever_its_layout(far):
    blob, other = Blob((2, 3, 4, 5)), Blob((120,))
    blob.set_data(torch.ones(2, 3, 4, 5).contiguous(memory_format=torch.channels_last))
    other.share_data(blob)
    assert other.data_tensor.shape == (120,)


def test_nearby_is_the_host_where_the_values_are_there(far):
    blob = Blob((2,))
    blob.data[...] = 3
    blob.data_to_read
    assert blob.data_nearby.tolist() == [3, 3]
