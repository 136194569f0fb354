"""{task: {subject: function}}, the task without its size; bench.py says in words what tasks are."""

from functools import partial

from subjects import (
    caffemodel,
    data_layer,
    dense_crf,
    engines,
    floors,
    pycaffe,
    pytorch,
    runtimes,
    start_up,
)

FORWARD = {"engine": engines.project(pycaffe.forward),
           "engine, no elision": engines.project(pycaffe.forward, elide=False),
           "torch eager": pytorch.forward,
           "torch channels-last": partial(pytorch.forward, channels_last=True),
           "ONNX Runtime": runtimes.onnxruntime, "OpenVINO": runtimes.openvino("f32"),
           "OpenCV": runtimes.opencv, "BVLC Caffe": engines.bvlc(pycaffe.forward),
           "floor": floors.computing, "floor of memory": floors.copying}
OTHER_NETS = {name: FORWARD[name] for name in (
    "engine", "engine, no elision", "ONNX Runtime", "OpenVINO", "OpenCV", "BVLC Caffe", "floor",
    "floor of memory")}
SUBJECTS = {
    "forward": {**FORWARD, "torch compiled": pytorch.by_compiler(pytorch.forward)},
    "stream": FORWARD,
    "fcn32s": OTHER_NETS, "alexnet": OTHER_NETS, "googlenet": OTHER_NETS,
    "deeplab": OTHER_NETS, "unet": OTHER_NETS,
    "bf16_forward": {"engine": engines.with_precision("bf16", pycaffe.forward),
                     "engine, fp32": engines.with_precision("fp32", pycaffe.forward),
                     "OpenVINO, bf16": runtimes.openvino("bf16")},
    "bf16_step": {"engine": engines.with_precision("bf16", pycaffe.step),
                  "engine, fp32": engines.with_precision("fp32", pycaffe.step),
                  "torch, bf16 autocast": partial(pytorch.step, wrap=pytorch.autocast)},
    "small_step": {"engine": engines.project(pycaffe.small_step), "torch eager": pytorch.small_step,
                   "BVLC Caffe": engines.bvlc(pycaffe.small_step), "floor": floors.computing},
    "step": {"engine": engines.project(pycaffe.step),
             "engine, no elision": engines.project(pycaffe.step, elide=False),
             "torch eager": pytorch.step,
             "torch channels-last": partial(pytorch.step, channels_last=True),
             "torch compiled": pytorch.by_compiler(pytorch.step),
             "BVLC Caffe": engines.bvlc(pycaffe.step), "floor": floors.computing,
             "floor of memory": floors.copying},
    "gpu_forward": {**engines.all_on_gpu(pycaffe.forward),
                    "engine, torch.compile": pytorch.exported_to_gpu,
                    "torch eager": pytorch.forward,
                    "torch channels-last": partial(pytorch.forward, channels_last=True)},
    "gpu_step": {**engines.all_on_gpu(pycaffe.step), "torch eager": pytorch.step,
                 "torch channels-last": partial(pytorch.step, channels_last=True)},
    "gpu_schedule": {"engine": engines.on_gpu(pycaffe.schedule, "tf32"),
                     "engine, bf16": engines.on_gpu(pycaffe.schedule, "bf16")},
    "crf": {"engine": dense_crf.engine, "pydensecrf2": dense_crf.pydensecrf},
    "data": {"as fast as they come": data_layer.samples,
             "waited for, at 0.25 s": data_layer.waiting(0.25),
             "waited for, at 0.009 s": data_layer.waiting(0.009)},
    "far": {f"{number} ahead": data_layer.far(number) for number in (1, 4, 16)},
    "caffemodel": {"read": caffemodel.read, "write": caffemodel.write},
    "start": {"python": start_up.running("pass"), "import caffe": start_up.running("import caffe"),
              "a prototxt": start_up.running("from fcn import nets; nets.write('voc-fcn8s', '.')"),
              "a net": start_up.running("import caffe; caffe.Net")},
}
