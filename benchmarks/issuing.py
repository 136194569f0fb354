"""How long the host takes to issue a training step, and to replay one: python benchmarks/issuing.py

FCN-8s, 1/64 as wide, on one image of 24 x 24, on one thread of a CPU, where computing takes little.
A recorded pass is replayed without its operations, which a GPU would be given in one call.
"""

import argparse
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from subjects import pycaffe
from subjects.inputs import SIZES

TURNS, STEPS = 5, 20


class Nothing:
    """A recording that computes nothing when it is replayed."""

    def __init__(self, device):
        pass

    @contextmanager
    def recording(self):
        yield

    def cut(self):
        pass

    def replay(self, after):
        after(0)

    @staticmethod
    def has_room(device):
        return True


def main():
    import torch

    from caffe.engine.runners import recorded
    torch.set_num_threads(1)
    recorded.GRAPHS = {"cpu": Nothing}
    recorded.TOLERANCE = dict.fromkeys(recorded.TOLERANCE, float("inf"))    # nothing is computed
    SIZES["issuing"] = [(24, 24)]
    with tempfile.TemporaryDirectory() as folder:
        net, step = pycaffe.step("issuing", Path(folder), 1 / 64)
        seconds = {True: [], False: []}
        for _ in range(TURNS + 1):
            for net.cuda_graphs, found in seconds.items():
                start = time.perf_counter()
                for _ in range(STEPS):
                    step()
                found.append((time.perf_counter() - start) / STEPS)
    replayed, issued = (1e3 * min(found[1:]) for found in seconds.values())
    print(f"a step: {issued:.1f} ms, replayed: {replayed:.1f} ms")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
