"""Replays of CUDA graphs beside plain passes of the same weights, over sizes that come and go."""

import logging
from collections.abc import Callable

import numpy as np
from part import Part

import caffe
from subjects.pycaffe import solver_fed_by_hand

ROUNDS = 4
WIDTH = 1 / 8


class Told(logging.Handler):
    """Keeps what the log says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    part, told = Part(__doc__), Told()
    logging.getLogger("caffe").addHandler(told)
    sizes = [(24, 28), (28, 24), (31, 31)] if part.dry else \
        [(100 + 8 * i, 260 - 7 * i) for i in range(20)]
    for precision in ("tf32", "fp32", "bf16")[:1 if part.dry else 3]:
        part.use(precision)
        compare(part, precision, sizes, told)
    part.end()


def compare(part: Part, precision: str, sizes: list[tuple[int, int]], told: Told) -> None:
    """Both nets see the same data in the same order; the weights of both follow the first."""
    from caffe.engine.runners import recorded
    before, replays = len(told.lines), counted(recorded.GRAPHS)
    solver = solver_fed_by_hand(part.folder, (1, 3, *sizes[0]),
                                1 / 64 if part.dry else WIDTH)
    net, plain = solver.net, solver_fed_by_hand(
        part.folder, (1, 3, *sizes[0]), 1 / 64 if part.dry else WIDTH).net
    plain.share_with(net)
    plain.cuda_graphs = False
    rng, exact, worst = np.random.default_rng(0), 0, (0.0, "none")
    visits = [size for _ in range(ROUNDS) for size in rng.permutation(sizes).tolist()]
    for number, size in enumerate(visits):
        image, label = rng.normal(scale=60, size=(1, 3, *size)), rng.integers(0, 21, size)
        found = [passed(each, image, label, number) for each in (net, plain)]
        differences = {key: difference(value, found[1][key]) for key, value in found[0].items()}
        exact += not any(differences.values())
        worst = max(worst, *((value, f"{key} of visit {number}, {size[0]}x{size[1]}")
                             for key, value in differences.items()))
        solver.apply_update()
    limit = recorded.TOLERANCE[precision]
    part.found(f"{precision}: {exact} of {len(visits)} passes over {len(sizes)} sizes equal to the "
               f"bit, the worst differs by {worst[0]:.1e} ({worst[1]}); {replays[0]} replays",
               **{precision: {"visits": len(visits), "exact": exact, "worst": worst[0],
                              "replays": replays[0], **part.memory()}})
    part.expect(worst[0] <= limit, f"{precision}: {worst[1]} differs by {worst[0]:.2g}, allowed "
                                   f"are {limit:g} of the largest value")
    expected = 2 * (ROUNDS - 1) * len(sizes)
    part.expect(replays[0] == expected, f"{precision}: {replays[0]} replays, expected {expected}: "
                                        f"{'; '.join(told.lines[before:]) or 'no reason told'}")


def counted(kinds: dict[str, type]) -> list[int]:
    """[the number of replays from now on]."""
    (name, kind), = kinds.items()
    count = [0]

    class Counting(kind):   # type: ignore[valid-type, misc]
        def replay(self, after: Callable[[int], None]) -> None:
            count[0] += 1
            super().replay(after)
    kinds[name] = Counting
    return count


def passed(net: "caffe.Net", image: np.ndarray, label: np.ndarray, seed: int
           ) -> dict[str, np.ndarray]:
    """Loss, scores and gradients of a pass forward and back, by name."""
    net.blobs["data"].reshape(*image.shape)
    net.blobs["label"].reshape(1, 1, *label.shape)
    net.blobs["data"].data[...] = image
    net.blobs["label"].data[...] = label
    caffe.set_random_seed(seed)
    net.clear_param_diffs()
    net.run_forward()
    net.run_backward()
    found = {name: net.blobs[name].data.copy() for name in ("loss", "score")}
    # a view would keep passes from being replayed; what is copied is the update's, too
    found.update({f"gradient {name} {i}": blob.diff_tensor.cpu().numpy().copy()
                  for name, blobs in net.params.items() for i, blob in enumerate(blobs)})
    return found


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest, as a share of the largest value."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


if __name__ == "__main__":
    main()
