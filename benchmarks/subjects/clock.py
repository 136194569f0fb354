"""Seconds that functions take."""

import time


def timed(run):
    """The seconds that run() takes, or that it says itself."""
    start = time.perf_counter()
    own = run()
    return own if isinstance(own, float) else time.perf_counter() - start


def least(run):
    """The least seconds of five runs, after one that does not count."""
    run()
    return min(timed(run) for _ in range(5))


def each_of_many(step, least=1.0):
    """The seconds of a step: of as many as take a second, for one alone is too short."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < least:
        step()
        count += 1
    return (time.perf_counter() - start) / count
