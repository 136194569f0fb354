"""Programs that run a net that was trained elsewhere: OpenCV, ONNX Runtime and OpenVINO."""

from subjects import pycaffe
from subjects.inputs import images
from subjects.machine import Absent, threads


def opencv(task, folder):
    """A function that runs the task's net in OpenCV's dnn, which reads Caffe's files."""
    import cv2

    import caffe
    path = pycaffe.deploy(task, folder)
    net = caffe.Net(path, caffe.TEST)
    pycaffe.fill_weights(net)
    net.save(str(folder / "some.caffemodel"))
    del net
    reader = cv2.dnn.readNetFromCaffe(path, str(folder / "some.caffemodel"))
    inputs = images(task)

    def run():
        for image in inputs:
            reader.setInput(image)
            reader.forward()
    return run


def onnxruntime(task, folder):
    """A function that runs it in ONNX Runtime, on the CPU."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(onnx_of(task, folder), options,
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
        model = core.read_model(onnx_of(task, folder))
        if len(inputs) == 1:    # of free sizes it tries some that are too small for U-Net
            model.reshape({model.inputs[0].any_name: inputs[0].shape})
        net = core.compile_model(model, "CPU", {
            "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads(),
            "PERFORMANCE_HINT": "LATENCY"})
        request = net.create_infer_request()

        def run():
            for image in inputs:
                request.infer({0: image})
        return run
    return subject


def onnx_of(task, folder):
    """The path of the task's net in ONNX, with weights."""
    from caffe.export import to_onnx
    path = str(folder / "net.onnx")
    to_onnx(pycaffe.forward(task, folder)[0], path)
    return path
