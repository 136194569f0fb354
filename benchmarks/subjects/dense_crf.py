"""The dense CRF: the engine's and pydensecrf2's."""

import numpy as np

from subjects.inputs import RNG


def engine(task, folder):
    """The engine's dense CRF on the photograph, 21 classes and 10 iterations."""
    import caffe
    image, probabilities = case(task)
    return lambda: caffe.dense_crf(probabilities, image)


def pydensecrf(task, folder):
    """That of pydensecrf2, which uses one thread."""
    from pydensecrf import densecrf
    image, probabilities = case(task)
    height, width, _ = image.shape

    def run():
        peer = densecrf.DenseCRF2D(width, height, len(probabilities))
        peer.setUnaryEnergy(-np.log(probabilities).reshape(len(probabilities), -1))
        after = densecrf.NORMALIZE_AFTER
        peer.addPairwiseGaussian(sxy=3, compat=3, normalization=after)
        peer.addPairwiseBilateral(sxy=50, srgb=10, rgbim=image, compat=5, normalization=after)
        return np.array(peer.inference(10)).reshape(probabilities.shape)
    return run


def case(task):
    """A photograph-like image, uint8 (375, 500, 3), and probabilities of 21 classes. Sets the
    task's number of threads."""
    import torch
    from PIL import Image
    from scipy.special import softmax
    torch.set_num_threads(int(task.partition("-")[2]))
    shape, size = (12, 16), (500, 375)

    def smooth(plane, filter):
        return np.asarray(Image.fromarray(plane).resize(size, filter))
    image = smooth(RNG.integers(0, 256, (*shape, 3), np.uint8), Image.Resampling.BICUBIC)
    noise = RNG.normal(scale=4, size=image.shape)
    scores = [smooth(plane, Image.Resampling.BILINEAR)
              for plane in RNG.normal(scale=4, size=(21, *shape)).astype(np.float32)]
    return (np.clip(image + noise, 0, 255).astype(np.uint8),
            softmax(np.array(scores), 0).astype(np.float32))
