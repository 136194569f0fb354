"""A training step of 1, 2 and 4 processes: python benchmarks/workers.py

FCN-8s on one image of 500x500 for each process: on GPUs as it is, one for each process; on CPUs
a quarter as wide, at 160x160, one thread for each process. Shown are the time of a step, how much
of it a process waits for others, and the efficiency: the time of one process by that of several,
which do as many times the work. Processes that share processors cannot be efficient: where there
are fewer, the efficiency that is left to reach is shown, too.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

from segdata.arguments import ArgumentParser

COUNTS = 1, 2, 4
STEPS, WARM = 10, 2


def main():
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=float, default=0.25, help="on CPUs (default 0.25)")
    parser.add_argument("--side", type=int, default=160, help="of images on CPUs (default 160)")
    args = parser.parse_args()
    gpus = _gpus()
    width, side, places = (1.0, 500, gpus) if gpus else (args.width, args.side, os.cpu_count())
    print(f"FCN-8s, {width:g} of its width, {side}x{side}, {places} "
          f"{'GPU(s)' if gpus else 'processors'}")
    print(f"{'processes':>9}  {'gradients sent':<16}{'step':>9}  {'waiting':>9}  {'efficiency':>10}"
          "  possible")
    one = None
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            if gpus and count > gpus:
                continue
            for layer_wise in (True, False):
                step, waited = measured(Path(folder), count, layer_wise, width, side, bool(gpus))
                one = one or step
                possible = min(1.0, places / count)
                print(f"{count:>9}  {'layer by layer' if layer_wise else 'at the end':<16}"
                      f"{1e3 * step:>6.1f} ms  {1e3 * waited:>6.1f} ms  {one / step:>9.0%}  "
                      f"{possible:>7.0%}", flush=True)


def measured(folder, count, layer_wise, width, side, on_gpus):
    """(seconds of a step, seconds of it in which rank 0 waits), medians."""
    import caffe
    uid = caffe.NCCL.new_uid()
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    processes = [context.Process(target=work, args=(
        folder, uid, rank, count, layer_wise, width, side, on_gpus, results))
        for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return results.get()


def work(folder, uid, rank, count, layer_wise, width, side, on_gpus, results):
    import torch

    import caffe
    from fcn import nets
    caffe.init_log(1)
    torch.set_num_threads(1)
    caffe.set_device(rank)
    if on_gpus:
        caffe.set_mode_gpu()
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    param = nets.fcn("fcn8s", "train", width=width)
    source = param.layer[0]
    source.Clear()
    source.name, source.type = "data", "DummyData"
    source.top.extend(["data", "label"])
    for channels in (3, 1):
        source.dummy_data_param.shape.add(dim=(1, channels, side, side))
        source.dummy_data_param.data_filler.add(type="constant", value=1)
    net, solver = folder / f"net{rank}.prototxt", folder / f"solver{rank}.prototxt"
    nets.write_prototxt(net, param)
    solver.write_text(f'train_net: "{net}" base_lr: 1e-12 lr_policy: "fixed" momentum: 0.99 '
                      'snapshot_after_train: false')
    solver = caffe.SGDSolver(str(solver))
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    if layer_wise:
        solver.net.after_backward(nccl)
    found = []
    for _ in range(WARM + STEPS):
        begin, before = time.perf_counter(), nccl.waited
        solver.step(1)
        if on_gpus:
            torch.cuda.synchronize()
        found.append((time.perf_counter() - begin, nccl.waited - before))
    if rank == 0:
        results.put([statistics.median(each) for each in zip(*found[WARM:])])


def _gpus():
    import torch
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


if __name__ == "__main__":
    main()
