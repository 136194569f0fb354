"""What is said where the GPU's memory does not suffice, and that work goes on with less."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from part import Part

import caffe
from subjects.pycaffe import solver_fed_by_hand

LIMIT = 3 * 2 ** 30         # bytes that this process may take
WIDTH = 1 / 4
SMALL = (120, 160)
MESSAGE = (r"prototxt.*: out of memory on the (GPU|host): (asked for|all blobs together take) "
           r"[\d.]+ \w+.*The largest.*What helps: .+")


def main() -> None:
    part = Part(__doc__)
    part.use("tf32")
    if not part.dry:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(LIMIT / total)
    width, small = (1 / 64, (24, 32)) if part.dry else (WIDTH, SMALL)
    huge = (200, 200) if part.dry else (4000, 4000)
    solver = solver_fed_by_hand(part.folder, (1, 3, *small), width)
    before = scores(solver.net, small)
    refused(part, "a pass forward", lambda: give(solver.net, huge) or solver.net.forward())
    after = scores(solver.net, small)
    part.expect(np.allclose(before, after, rtol=0, atol=5e-3 * np.abs(before).max()),
                "after an error, the scores of a small image differ by "
                f"{np.abs(before - after).max():.2g}")
    refused(part, "training", lambda: grow(solver, small, huge))
    give(solver.net, small)
    solver.step(3)
    part.expect(bool(np.isfinite(solver.net.blobs["loss"].data)), "no finite loss after an error")
    part.end()


def give(net: caffe.Net, size: tuple[int, int]) -> None:
    """Fill the inputs with an image of that size, all of whose labels are void."""
    net.blobs["data"].reshape(1, 3, *size)
    net.blobs["label"].reshape(1, 1, *size)
    net.reshape()
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(scale=60, size=(1, 3, *size))
    net.blobs["label"].data[...] = 255


def scores(net: caffe.Net, size: tuple[int, int]) -> np.ndarray:
    """Of the same image and the same dropout, whenever they are asked for."""
    give(net, size)
    caffe.set_random_seed(1)
    return net.forward(blobs=["score"])["score"].copy()


def grow(solver: caffe.SGDSolver, size: tuple[int, int], largest: tuple[int, int]) -> None:
    """Train on larger and larger images, each three times, so that passes are recorded."""
    while size[0] < largest[0]:
        size = size[0] * 5 // 4, size[1] * 5 // 4
        give(solver.net, size)
        solver.step(3)


@contextmanager
def little_memory(part: Part) -> Iterator[None]:
    """In a dry run, where 1 MiB seems to be left on the host."""
    from caffe.engine import out_of_memory
    if not part.dry:
        yield
        return
    with mock.patch.multiple(out_of_memory, NOTABLE=0, available_memory=lambda: 1 << 20):
        yield


def refused(part: Part, what: str, run: Callable[[], object]) -> None:
    """Have run() end with the error that says what memory is for."""
    try:
        with little_memory(part):
            run()
    except caffe.CaffeError as error:
        said = str(error)
    except Exception as error:
        part.fail(f"{what}: expected an OutOfMemoryError, got {type(error).__name__}: {error}")
        return
    else:
        part.fail(f"{what}: memory sufficed")
        return
    part.found(f"{what}: {said[:160]}...", **{what: said})
    part.expect(re.search(MESSAGE, said, re.S) is not None, f"{what}: not what is to be said")


if __name__ == "__main__":
    main()
