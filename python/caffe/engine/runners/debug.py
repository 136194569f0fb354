"""debug_info: the mean magnitude of every blob and parameter, in the log, as a net runs."""

from ...log import logger


def forward(net, number):
    """After layer `number` ran forward."""
    name = net._layer_names[number]
    for blob_name, blob in zip(net.top_names[name], net._tops[number]):
        logger.info("    [Forward] Layer %s, top blob %s data: %g", name, blob_name,
                    _mean(blob.data_tensor))
    for i, blob in enumerate(net.layers[number].blobs):
        logger.info("    [Forward] Layer %s, param blob %d data: %g", name, i,
                    _mean(blob.data_tensor))


def backward(net, number):
    """After layer `number` ran backward."""
    name, (_, down) = net._layer_names[number], net._backward_plan[number]
    for blob_name, blob, wanted in zip(net.bottom_names[name], net._bottoms[number], down):
        if wanted:
            logger.info("    [Backward] Layer %s, bottom blob %s diff: %g", name, blob_name,
                        _mean(blob.diff_tensor))
    for i, blob in enumerate(net.layers[number].blobs):
        logger.info("    [Backward] Layer %s, param blob %d diff: %g", name, i,
                    _mean(blob.diff_tensor))


def backward_total(net):
    """After the whole net ran backward."""
    blobs = [blob for blob, _ in net._learnable]
    sums = [sum(float(getattr(getattr(blob, kind), power)().sum()) for blob in blobs)
            for power in ("abs", "square") for kind in ("data_tensor", "diff_tensor")]
    logger.info("    [Backward] All net params (data, diff): L1 norm = (%g, %g); "
                "L2 norm = (%g, %g)", sums[0], sums[1], sums[2] ** 0.5, sums[3] ** 0.5)


def update(net, number):
    """Before parameter `number` is updated."""
    blob, _ = net._learnable[number]
    layer, index = next((layer, i) for layer, blobs in net.params.items()
                        for i, each in enumerate(blobs) if each is blob)
    logger.info("    [Update] Layer %s, param %d data: %g; diff: %g", layer, index,
                _mean(blob.data_tensor), _mean(blob.diff_tensor))


def _mean(tensor):
    return float(tensor.abs().mean()) if tensor.numel() else 0.0
