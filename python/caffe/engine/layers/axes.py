"""What the layers share about axes."""


def canonical_axis(layer, axis, shape):
    """`axis` counted from the front. Raises the layer's error if `shape` has no such axis."""
    if not -len(shape) <= axis < len(shape):
        raise layer.error(f"axis {axis} does not exist in a blob of shape {tuple(shape)}")
    return axis % len(shape)
