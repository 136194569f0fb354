"""Several processes that train together, forked from the one that tests."""

import multiprocessing
import os
import time
import traceback

import caffe

fork = multiprocessing.get_context("fork")


def run(count, work, timeout=120.0):
    """[what work(rank, uid) returns, or the exception that it raised, in each of `count` processes
    that are solvers of these ranks]; fails where one has not ended after `timeout` seconds. Of a
    process that was killed it is None."""
    uid = caffe.NCCL.new_uid()
    pipes = [fork.Pipe(duplex=False) for _ in range(count)]
    processes = [fork.Process(target=_run, args=(rank, count, uid, work, pipes[rank][1]))
                 for rank in range(count)]
    for process in processes:
        process.start()
    for _, end in pipes:
        end.close()
    last = time.monotonic() + timeout
    try:
        results = [_received(pipe, last - time.monotonic()) for pipe, _ in pipes]
        for process in processes:
            process.join(max(0.0, last - time.monotonic()))
        late = [rank for rank, process in enumerate(processes) if process.is_alive()]
        assert not late, f"ranks {late} have not ended within {timeout} s"
    finally:
        for process in processes:
            process.kill()
    return results


def _received(pipe, seconds):
    try:
        assert pipe.poll(max(0.0, seconds)), "a rank has not answered in time"
        return pipe.recv()
    except EOFError:
        return None


def _run(rank, count, uid, work, pipe):
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    try:
        pipe.send(work(rank, uid))
    except Exception as error:
        traceback.print_exc()
        pipe.send(error)
    os._exit(0)


def joined(solver, uid, layer_wise=True):
    """The NCCL of a solver, set up as in the original's train.py."""
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    if layer_wise:
        solver.net.after_backward(nccl)
    return nccl
