"""What is measured, each in a process of its own: python benchmarks/subjects.py TASK SUBJECT

Prints one line of JSON: the seconds of each run after the first, which do not count, and the peak
memory, of the process or on the GPU, in MiB. Or why there is nothing: {"absent": reason}.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "data"), str(ROOT / "python")]

RNG = np.random.default_rng(0)
SIZES = {"forward-500": [(500, 500)], "forward-375": [(375, 500)], "step-500": [(500, 500)],
         "step-375": [(375, 500)],
         "gpu_forward-500": [(500, 500)], "gpu_step-500": [(500, 500)],
         "fcn32s-500": [(500, 500)], "alexnet-500": [(500, 500)], "googlenet-500": [(500, 500)],
         "deeplab-513": [(513, 513)], "unet-572": [(572, 572)],
         "bf16_forward-500": [(500, 500)], "bf16_step-500": [(500, 500)],
         "stream": [(375, 500), (500, 334), (500, 375), (333, 500), (366, 500), (500, 500)]}
EXPERIMENTS = {"fcn32s": "voc-fcn32s", "alexnet": "voc-fcn-alexnet",
               "googlenet": "voc-fcn-googlenet", "deeplab": "voc-deeplab-largefov",
               "unet": "isbi-unet"}     # of the tasks; FCN-8s of the others
# {task: (how many runs do not count, how many do)}; a GPU's passes are recorded the second time
RUNS = {"gpu_forward": (3, 20), "gpu_step": (3, 20), "gpu_schedule": (1, 1)}


class Absent(RuntimeError):
    """A subject that this machine does not have."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", help="one of bench.py's TASKS")
    parser.add_argument("subject")
    args = parser.parse_args()
    task = args.task.partition("-")[0]
    if args.subject not in SUBJECTS.get(task, ()):
        known = "; ".join(f"{name}: {', '.join(map(repr, SUBJECTS[name]))}" for name in SUBJECTS)
        parser.error(f"no subject {args.subject!r} of the task {args.task!r}; there are {known}")
    first, runs = RUNS.get(task, (1, 2))
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = SUBJECTS[task][args.subject](args.task, Path(folder))
            seconds = [timed(run) for _ in range(first + runs)][first:]
    except (Absent, ImportError) as error:
        print(json.dumps({"absent": str(error)}))
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if task.startswith("gpu"):
        import torch
        peak = torch.cuda.max_memory_allocated() / 2 ** 20
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def timed(run):
    """The seconds that run() takes, or that it says itself."""
    start = time.perf_counter()
    own = run()
    return own if isinstance(own, float) else time.perf_counter() - start


def images(task):
    """Mean-subtracted images of the task's sizes, (1, channels, height, width)."""
    channels = 1 if task.startswith("unet") else 3
    return [RNG.normal(scale=60, size=(1, channels, *size)).astype(np.float32)
            for size in SIZES[task]]


# pycaffe: the project's engine, or BVLC's

def engine(made, elide=True):
    """The subject that runs what made(task, folder), a pair of net and function, makes."""
    def subject(task, folder):
        net, run = made(task, folder)
        net.elide_padding = elide
        return run
    return subject


def with_precision(precision, made):
    """The same, in that precision; where the processor has no bf16, it is not measured."""
    def subject(task, folder):
        import torch

        import caffe
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            raise Absent("PyTorch has no bf16 on this processor")
        caffe.set_precision(precision)
        return made(task, folder)[1]
    return subject


def bvlc(made):
    """The same, on BVLC's pycaffe."""
    def subject(task, folder):
        _use_bvlc()
        return made(task, folder)[1]
    return subject


def _use_bvlc():
    place = os.environ.get("BVLC_PYCAFFE")
    if not place:
        raise Absent("BVLC_PYCAFFE does not name the python folder of a BVLC Caffe")
    sys.path.remove(str(ROOT / "python"))
    sys.path.insert(0, place)


def _deploy(task, folder, width=1.0):
    """The deploy prototxt of the task's net."""
    from fcn import nets
    name = EXPERIMENTS.get(task.partition("-")[0])
    if name:
        nets.write(name, folder)
        return str(folder / "deploy.prototxt")
    return str(nets.write_prototxt(folder / "deploy.prototxt",
                                   nets.fcn("fcn8s", "deploy", width=width)))


def pycaffe_forward(task, folder, width=1.0):
    """The task's net, as a Net, and a function that runs it over the task's images."""
    import caffe
    net = caffe.Net(_deploy(task, folder, width), caffe.TEST)
    _fill(net)
    inputs = images(task)

    def run():
        for image in inputs:
            net.blobs["data"].reshape(*image.shape)
            net.blobs["data"].data[...] = image
            net.forward()
    return net, run


def pycaffe_step(task, folder, width=1.0):
    """FCN-8s, as the Net of a solver, and a function that trains it one step."""
    image, = images(task)
    solver = solver_fed_by_hand(folder, image.shape, width)
    solver.net.blobs["data"].data[...] = image
    solver.net.blobs["label"].data[...] = RNG.integers(0, 21, (1, 1, *image.shape[2:]))
    return solver.net, lambda: solver.step(1)


def solver_fed_by_hand(folder, shape, width=1.0):
    """The solver of FCN-8s, whose inputs are data, of that shape, and label."""
    from fcn import nets
    from small_nets import fed_by_hand
    return _solver(folder, fed_by_hand(nets.fcn("fcn8s", "train", width=width), shape))


def pycaffe_small_step(task, folder):
    """A small net, as the Net of a solver, and a function that trains it one step."""
    from small_nets import NETS, training_net
    name = task.partition("-")[2]
    solver = _solver(folder, training_net(name))
    _fill_inputs(solver.net, NETS[name][1])
    return solver.net, lambda: _steps(lambda: solver.step(1))


def _fill_inputs(net, classes):
    for name in net.inputs:
        data = net.blobs[name].data
        data[...] = (RNG.integers(0, classes, data.shape) if name == "label"
                     else RNG.normal(size=data.shape))


def _steps(step, least=1.0):
    """The seconds of a step: of as many as take a second, for one alone is too short."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < least:
        step()
        count += 1
    return (time.perf_counter() - start) / count


def pycaffe_schedule(task, folder, width=1.0):
    """The same with photographs of the sizes that VOC's have, and STEPS of them."""
    from fcn import nets
    least, most, count = OTHERS
    others = RNG.integers(least, most + 1, (count, 2)).tolist()
    source = _photographs(folder, [*PHOTOGRAPHS, *others])
    solver = _solver(folder, nets.fcn("fcn8s", "train", source=source, width=width))
    return solver.net, lambda: solver.step(STEPS)


def _solver(folder, param):
    """That of a net, with weights, at the paper's momentum and weight decay."""
    import caffe
    from fcn import nets
    nets.write_prototxt(folder / "train.prototxt", param)
    (folder / "solver.prototxt").write_text(
        f'train_net: "{folder}/train.prototxt" base_lr: 1e-14 lr_policy: "fixed" momentum: 0.99 '
        f'weight_decay: 0.0005 snapshot_prefix: "{folder}/s" snapshot_after_train: false')
    solver = caffe.SGDSolver(str(folder / "solver.prototxt"))
    _fill(solver.net)
    return solver


def _fill(net):
    from fcn import surgery
    for name, blobs in net.params.items():
        if name.startswith("upscore"):
            surgery.interp(net, [name])
        else:
            weights = blobs[0].data
            RNG.standard_normal(dtype=np.float32, out=weights)      # no second copy in memory
            weights *= (2 / np.prod(weights.shape[1:])) ** 0.5


# plain PyTorch

def torch_forward(task, folder, channels_last=False, wrap=lambda model: model):
    """A function that runs PyTorch's FCN-8s over the task's images."""
    import torch
    model, inputs, wait = _peer(task, channels_last, wrap)
    model.eval()

    @torch.inference_mode()
    def run():
        for image in inputs:
            model(image)
        wait()
    return run


def torch_step(task, folder, channels_last=False, wrap=lambda model: model):
    """A function that trains it one step."""
    import torch

    from torch_fcn8s import loss
    model, (image,), wait = _peer(task, channels_last, wrap)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-14,
                                momentum=0.99, weight_decay=5e-4)
    labels = torch.from_numpy(RNG.integers(0, 21, (1, *image.shape[2:]))).to(image.device)

    def run():
        optimizer.zero_grad()
        loss(model(image), labels).backward()
        optimizer.step()
        wait()
    return run


def torch_small_step(task, folder):
    """A function that trains the same layers in eager PyTorch one step: caffe.to_torch makes them
    of torch's own operations."""
    import torch

    import caffe
    from fcn import nets
    from small_nets import NETS, training_net
    name = task.partition("-")[2]
    net = caffe.Net(str(nets.write_prototxt(folder / "train.prototxt", training_net(name))),
                    caffe.TRAIN)
    _fill(net)
    _fill_inputs(net, NETS[name][1])
    inputs = [torch.from_numpy(net.blobs[name].data.copy()) for name in net.inputs]
    model = caffe.to_torch(net).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-14, momentum=0.99, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        model(*inputs).backward()
        optimizer.step()
    return lambda: _steps(step)


def _peer(task, channels_last, wrap):
    """FCN-8s in PyTorch and the task's images, on its device, and what waits for that."""
    import torch

    from torch_fcn8s import FCN8s
    device, wait = ("cuda", _gpu()) if task.startswith("gpu") else ("cpu", lambda: None)
    form = torch.channels_last if channels_last else torch.contiguous_format
    model = wrap(FCN8s().to(device, memory_format=form))
    return model, [torch.from_numpy(image).to(device).contiguous(memory_format=form)
                   for image in images(task)], wait


def autocast(model):
    """The model, its products in bf16 on a CPU. Raises Absent where the processor has none."""
    import torch
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise Absent("PyTorch has no bf16 on this processor")
    model.forward = torch.autocast("cpu", torch.bfloat16)(model.forward)
    return model


def torch_compiled(made):
    """The subject that runs what made(task, folder, wrap=torch.compile) makes."""
    def subject(task, folder):
        import torch
        run = made(task, folder, wrap=torch.compile)
        try:
            run()
        except Exception as error:  # a compiler that is not there, or fails, says so in many ways
            raise Absent(f"torch.compile: {type(error).__name__}") from None
        return run
    return subject


# OpenCV

def opencv(task, folder):
    import cv2

    import caffe
    path = _deploy(task, folder)
    net = caffe.Net(path, caffe.TEST)
    _fill(net)
    net.save(str(folder / "some.caffemodel"))
    del net
    reader = cv2.dnn.readNetFromCaffe(path, str(folder / "some.caffemodel"))
    inputs = images(task)

    def run():
        for image in inputs:
            reader.setInput(image)
            reader.forward()
    return run


# ONNX's runtimes

def onnxruntime(task, folder):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    session = onnxruntime.InferenceSession(_onnx(task, folder), options,
                                           providers=["CPUExecutionProvider"])
    inputs = images(task)

    def run():
        for image in inputs:
            session.run(None, {"data": image})
    return run


def openvino(precision):
    """The subject of OpenVINO in that precision, "f32" or "bf16"."""
    def subject(task, folder):
        import openvino
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property(
                "CPU", "OPTIMIZATION_CAPABILITIES"):
            raise Absent("OpenVINO has no bf16 on this processor")
        inputs = images(task)
        model = core.read_model(_onnx(task, folder))
        if len(inputs) == 1:    # of free sizes it tries some that are too small for U-Net
            model.reshape({model.inputs[0].any_name: inputs[0].shape})
        net = core.compile_model(model, "CPU", {
            "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": _threads(),
            "PERFORMANCE_HINT": "LATENCY"})
        request = net.create_infer_request()

        def run():
            for image in inputs:
                request.infer({0: image})
        return run
    return subject


def _onnx(task, folder):
    """The path of the task's net in ONNX, with weights."""
    from caffe.export import to_onnx
    path = str(folder / "net.onnx")
    to_onnx(pycaffe_forward(task, folder)[0], path)
    return path


def _threads():
    """As many as PyTorch uses."""
    import torch
    return torch.get_num_threads()


# dense CRF

def crf(task, folder):
    """The engine's dense CRF on the photograph, 21 classes and 10 iterations."""
    import caffe
    image, probabilities = _crf_case(task)
    return lambda: caffe.dense_crf(probabilities, image)


def pydensecrf(task, folder):
    """That of pydensecrf2, which uses one thread."""
    from pydensecrf import densecrf
    image, probabilities = _crf_case(task)
    height, width, _ = image.shape

    def run():
        peer = densecrf.DenseCRF2D(width, height, len(probabilities))
        peer.setUnaryEnergy(-np.log(probabilities).reshape(len(probabilities), -1))
        after = densecrf.NORMALIZE_AFTER
        peer.addPairwiseGaussian(sxy=3, compat=3, normalization=after)
        peer.addPairwiseBilateral(sxy=50, srgb=10, rgbim=image, compat=5, normalization=after)
        return np.array(peer.inference(10)).reshape(probabilities.shape)
    return run


def _crf_case(task):
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


# files and start-up

def read(task, folder):
    net = _saved(folder)
    return lambda: net.copy_from(str(folder / "some.caffemodel"))


def write(task, folder):
    net = _saved(folder)
    return lambda: net.save(str(folder / "some.caffemodel"))


def _saved(folder):
    import caffe
    from fcn import nets
    net = caffe.Net(str(nets.write_prototxt(folder / "deploy.prototxt",
                                            nets.fcn("fcn8s", "deploy"))), caffe.TEST)
    net.save(str(folder / "some.caffemodel"))
    return net


# on a GPU

def engine_gpu(made, precision, **switches):
    """The subject that runs what made(task, folder) makes, with that precision, and attributes
    of its net."""
    def subject(task, folder):
        import caffe
        wait = _gpu()
        caffe.set_mode_gpu()
        caffe.set_precision(precision)
        net, run = made(task, folder)
        for name, value in switches.items():
            setattr(net, name, value)

        def waited():
            run()
            wait()
        return waited
    return subject


def engines_gpu(made):
    """{name: subject} of the engine in each precision, and without what it does for speed."""
    return {"engine": engine_gpu(made, "tf32"),
            "engine, no CUDA graphs": engine_gpu(made, "tf32", cuda_graphs=False),
            "engine, no elision": engine_gpu(made, "tf32", elide_padding=False),
            "engine, fp32": engine_gpu(made, "fp32"), "engine, bf16": engine_gpu(made, "bf16")}


def exported_gpu(task, folder):
    """The engine's net as a torch module, compiled into CUDA graphs."""
    import torch

    import caffe
    wait = _gpu()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    run = compiled(caffe.to_torch(pycaffe_forward(task, folder)[0]).cuda(),
                   torch.from_numpy(images(task)[0]).cuda())

    def waited():
        run()
        wait()
    return waited


def compiled(module, image):
    """A function that runs the module on the image, by as few launches as torch can make of it."""
    import torch
    program = torch.export.export(module, (image,), strict=False)
    fast = torch.compile(program.module(), mode="reduce-overhead")
    return torch.inference_mode()(lambda: fast(image))


def _gpu():
    """The function that waits for the GPU. Raises Absent where there is none."""
    import torch
    if not torch.cuda.is_available():
        raise Absent("PyTorch sees no GPU")
    return torch.cuda.synchronize


# data

SAMPLES = 16
# of most photographs in VOC, and how many of these there are for those of other sizes
PHOTOGRAPHS = [(375, 500)] * 27 + [(500, 375)] * 9 + [(333, 500)] * 9 + [(500, 333)] * 3
OTHERS = 300, 500, 12       # the least and the longest side, and how many
STEPS = 500


def samples(task, folder):
    """SAMPLES of a folder of JPEG photographs and PNG labels, as fast as they come."""
    net = _data_net(folder)

    def run():
        for _ in range(SAMPLES):
            net.forward()
    return run


def waiting(computing, **params):
    """The subject that waits for SAMPLES, and computes for so many seconds in between; `params`
    are keys of the data layer."""
    def subject(task, folder):
        net = _data_net(folder, **params)

        def run():
            waited = 0.0
            for _ in range(SAMPLES):
                time.sleep(computing)
                start = time.perf_counter()
                net.forward()
                waited += time.perf_counter() - start
            return waited
        return run
    return subject


def far(prefetch):
    """The subject whose files are as far away as the task says, in milliseconds, which computes
    for 9 ms, as a GPU does, and decodes so many samples ahead; waits as `waiting` does."""
    def subject(task, folder):
        from segdata import layer
        latency, read = int(task.partition("-")[2]) / 1000, layer.read_file

        def read_far(*args):
            time.sleep(latency)
            return read(*args)
        layer.read_file = read_far
        run = waiting(0.009, prefetch=prefetch)(task, folder)
        return lambda: run() / SAMPLES
    return subject


def _data_net(folder, **params):
    import caffe
    from fcn import nets
    source = _photographs(folder, [(375, 500)] * SAMPLES).with_training(**params)
    param = nets.fcn("fcn32s", "train", source=source, width=1 / 64)
    del param.layer[1:]
    return caffe.Net(str(nets.write_prototxt(folder / "data.prototxt", param)), caffe.TRAIN)


def _photographs(folder, sizes):
    """The source of JPEG photographs of these sizes with PNG labels, in VOC's layout."""
    from fcn.nets.source import folder as source
    photographs(folder, sizes)
    return source(folder, 21)


def photographs(folder, sizes):
    """Write JPEG photographs of these sizes, (height, width), with PNG labels, in VOC's layout."""
    from PIL import Image
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for i, (height, width) in enumerate(sizes):
        coarse = Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f"JPEGImages/{i}.jpg")
        label = Image.fromarray(RNG.integers(0, 21, (8, 10), np.uint8))
        label.resize((width, height), Image.Resampling.NEAREST).save(
            folder / f"SegmentationClass/{i}.png")
    for split in ("train", "val"):
        (folder / f"ImageSets/Segmentation/{split}.txt").write_text(
            "\n".join(map(str, range(len(sizes)))))


def start_up(code):
    """A subject that runs `code` in a fresh interpreter."""
    def subject(task, folder):
        import subprocess
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=folder,
                                      env={**os.environ, "PYTHONPATH": ":".join(sys.path[:4])})
    return subject


# the machine

def floor(task, folder):
    """The net's multiplications at the machine's rate of a large matrix product."""
    import torch

    from caffe.engine.layers.kernels.product import linear
    matrix = torch.randn(2048, 2048)
    rate = 2048 ** 3 / least(lambda: linear(matrix, matrix))
    seconds = work_of(task, folder).multiplications / rate
    return lambda: seconds


def bandwidth_floor(task, folder):
    """The net's maps and kernels, each read or written once, at the machine's rate of copying."""
    import torch
    source = torch.ones(2 ** 26)
    copy = torch.empty_like(source)
    rate = 2 * source.numel() / least(lambda: copy.copy_(source))
    seconds = work_of(task, folder).values / rate
    return lambda: seconds


def least(run):
    """The least seconds of five runs, after one that does not count."""
    run()
    return min(timed(run) for _ in range(5))


class Work(NamedTuple):
    """How many multiplications, and how many values that are read or written."""
    multiplications: int
    values: int


def work_of(task, folder):
    """The Work of a task: of a forward pass over each of its images, or of a training step."""
    if task.startswith(("step", "small_step")):
        make = pycaffe_step if task.startswith("step") else pycaffe_small_step
        return work(make(task, folder)[0], learns=True)
    net, each = pycaffe_forward(task, folder)[0], []
    for image in images(task):
        net.blobs["data"].reshape(*image.shape)
        net.reshape()
        each.append(work(net))
    return Work(*map(sum, zip(*each)))


def work(net, learns=False):
    """The Work of a forward pass of the net's convolutions, deconvolutions and products, and, if
    it learns, of their gradients; the gradients by what nothing below learns are left out."""
    products, values, learned = 0, 0, set()     # learned: blobs that parameters lie below
    for name, layer in net.layer_dict.items():
        bottoms, tops = net.bottom_names[name], net.top_names[name]
        if name in net.params or not learned.isdisjoint(bottoms):
            passes = 1
            if learns:
                passes = 2 if learned.isdisjoint(bottoms) else 3
            learned.update(tops)
        if layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
            continue
        weight = net.params[name][0]
        bottom, top = net.blobs[bottoms[0]], net.blobs[tops[0]]
        windows = bottom if layer.type == "Deconvolution" else top
        outputs = weight.shape[0] if layer.type == "InnerProduct" else windows.shape[1]
        products += passes * weight.count * (windows.count // outputs)
        values += passes * (weight.count + bottom.count + top.count)
    return Work(products, values)


FORWARD = {"engine": engine(pycaffe_forward),
           "engine, no elision": engine(pycaffe_forward, elide=False), "torch eager": torch_forward,
           "torch channels-last": partial(torch_forward, channels_last=True),
           "ONNX Runtime": onnxruntime, "OpenVINO": openvino("f32"), "OpenCV": opencv,
           "BVLC Caffe": bvlc(pycaffe_forward),
           "floor": floor, "floor of memory": bandwidth_floor}
OTHER_NETS = {name: FORWARD[name] for name in (
    "engine", "engine, no elision", "ONNX Runtime", "OpenVINO", "OpenCV", "BVLC Caffe", "floor",
    "floor of memory")}
SUBJECTS = {
    "forward": {**FORWARD, "torch compiled": torch_compiled(torch_forward)}, "stream": FORWARD,
    "fcn32s": OTHER_NETS, "alexnet": OTHER_NETS, "googlenet": OTHER_NETS,
    "deeplab": OTHER_NETS, "unet": OTHER_NETS,
    "bf16_forward": {"engine": with_precision("bf16", pycaffe_forward),
                     "engine, fp32": with_precision("fp32", pycaffe_forward),
                     "OpenVINO, bf16": openvino("bf16")},
    "bf16_step": {"engine": with_precision("bf16", pycaffe_step),
                  "engine, fp32": with_precision("fp32", pycaffe_step),
                  "torch, bf16 autocast": partial(torch_step, wrap=autocast)},
    "small_step": {"engine": engine(pycaffe_small_step), "torch eager": torch_small_step,
                   "BVLC Caffe": bvlc(pycaffe_small_step), "floor": floor},
    "step": {"engine": engine(pycaffe_step),
             "engine, no elision": engine(pycaffe_step, elide=False),
             "torch eager": torch_step,
             "torch channels-last": partial(torch_step, channels_last=True),
             "torch compiled": torch_compiled(torch_step),
             "BVLC Caffe": bvlc(pycaffe_step), "floor": floor,
             "floor of memory": bandwidth_floor},
    "gpu_forward": {**engines_gpu(pycaffe_forward), "engine, torch.compile": exported_gpu,
                    "torch eager": torch_forward,
                    "torch channels-last": partial(torch_forward, channels_last=True)},
    "gpu_step": {**engines_gpu(pycaffe_step), "torch eager": torch_step,
                 "torch channels-last": partial(torch_step, channels_last=True)},
    "gpu_schedule": {"engine": engine_gpu(pycaffe_schedule, "tf32"),
                     "engine, bf16": engine_gpu(pycaffe_schedule, "bf16")},
    "crf": {"engine": crf, "pydensecrf2": pydensecrf},
    "data": {"as fast as they come": samples, "waited for, at 0.25 s": waiting(0.25),
             "waited for, at 0.009 s": waiting(0.009)},
    "far": {f"{number} ahead": far(number) for number in (1, 4, 16)},
    "caffemodel": {"read": read, "write": write},
    "start": {"python": start_up("pass"), "import caffe": start_up("import caffe"),
              "a prototxt": start_up("from fcn import nets; nets.write('voc-fcn8s', '.')"),
              "a net": start_up("import caffe; caffe.Net")},
}

if __name__ == "__main__":
    main()
