"""Training steps over photographs of VOC's sizes: the time of a step, waiting, memory."""

import statistics
import time

from part import Part

from subjects import photographs, pycaffe

HOUR, ITERATIONS = 3600, 300_000        # of the goal, and of VOC's three stages
CHUNK = 50                              # steps between two looks at the clock


def main() -> None:
    part = Part(__doc__, "precision")
    precision = part.given.precision or "tf32"
    part.use(precision)
    if part.dry:
        photographs.PHOTOGRAPHS = [(40, 50), (50, 40)]
        photographs.OTHERS = (30, 50, 2)
    pycaffe.STEPS = 3 if part.dry else CHUNK
    waited = waiting()
    net, run = pycaffe.schedule("gpu_schedule-voc", part.folder,
                                width=1 / 64 if part.dry else 1)
    chunks = []
    for number in range(3 if part.dry else 500 // CHUNK):
        waited[0], start = 0.0, time.perf_counter()
        run()
        part.wait()
        chunks.append(((time.perf_counter() - start) / pycaffe.STEPS, waited[0] / pycaffe.STEPS))
        tell(part, precision, chunks, net)
        part.expect(bool(net.blobs["loss"].data == net.blobs["loss"].data),
                    f"the loss is not a number after {(number + 1) * pycaffe.STEPS} steps")
    part.end()


def waiting() -> list[float]:
    """[the seconds that the data layer has waited for its thread]."""
    from segdata.layer import SegDataLayer
    total, arrays = [0.0], SegDataLayer.arrays

    def timed(self: SegDataLayer) -> list:
        start = time.perf_counter()
        found = arrays(self)
        total[0] += time.perf_counter() - start
        return found
    SegDataLayer.arrays = timed
    return total


def tell(part: Part, precision: str, chunks: list[tuple[float, float]], net: object) -> None:
    """What the chunks of steps have shown; the later half counts, in which most sizes are known."""
    late = chunks[len(chunks) // 2:]
    step, waited = (1e3 * statistics.median(column) for column in zip(*late))
    memory, recorded = part.memory(), net.recorded
    hours = step / 1e3 * ITERATIONS / HOUR
    full = ", memory sufficed for no more" if recorded.is_full else ""
    part.found(
        f"{precision}, after {len(chunks) * pycaffe.STEPS} steps: {step:.2f} ms a step, of them "
        f"{waited:.2f} ms waiting for data; the first {pycaffe.STEPS} took "
        f"{1e3 * chunks[0][0]:.1f} ms each; VOC's schedule would take {hours:.2f} h (goal 1); "
        f"{recorded.sizes} sizes recorded{full}; {memory['reserved'] / 1024:.1f} GiB reserved",
        step_ms=step, waited_ms=waited, chunks_ms=[1e3 * each for each, _ in chunks], hours=hours,
        sizes=recorded.sizes, is_full=recorded.is_full, goal_met=hours <= 1, **memory)


if __name__ == "__main__":
    main()
