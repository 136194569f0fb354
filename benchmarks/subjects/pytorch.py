"""FCN-8s in plain PyTorch, and the engine's nets as torch modules, which caffe.to_torch makes."""

from subjects import clock, pycaffe
from subjects.inputs import RNG, fill_inputs, images
from subjects.machine import Absent, check_bf16, gpu_wait


def forward(task, folder, channels_last=False, wrap=lambda model: model):
    """A function that runs PyTorch's FCN-8s over the task's images."""
    import torch
    model, inputs, wait = peer(task, channels_last, wrap)
    model.eval()

    @torch.inference_mode()
    def run():
        for image in inputs:
            model(image)
        wait()
    return run


def step(task, folder, channels_last=False, wrap=lambda model: model):
    """A function that trains it one step."""
    import torch

    from torch_fcn8s import loss
    model, (image,), wait = peer(task, channels_last, wrap)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-14,
                                momentum=0.99, weight_decay=5e-4)
    labels = torch.from_numpy(RNG.integers(0, 21, (1, *image.shape[2:]))).to(image.device)

    def run():
        optimizer.zero_grad()
        loss(model(image), labels).backward()
        optimizer.step()
        wait()
    return run


def small_step(task, folder):
    """A function that trains the same layers in eager PyTorch one step: caffe.to_torch makes them
    of torch's own operations."""
    import torch

    import caffe
    from fcn import nets
    from small_nets import NETS, training_net
    name = task.partition("-")[2]
    net = caffe.Net(str(nets.write_prototxt(folder / "train.prototxt", training_net(name))),
                    caffe.TRAIN)
    pycaffe.fill_weights(net)
    fill_inputs(net, NETS[name][1])
    inputs = [torch.from_numpy(net.blobs[name].data.copy()) for name in net.inputs]
    model = caffe.to_torch(net).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-14, momentum=0.99, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        model(*inputs).backward()
        optimizer.step()
    return lambda: clock.each_of_many(step)


def peer(task, channels_last, wrap):
    """FCN-8s in PyTorch and the task's images, on its device, and what waits for that."""
    import torch

    from torch_fcn8s import FCN8s
    device, wait = ("cuda", gpu_wait()) if task.startswith("gpu") else ("cpu", lambda: None)
    form = torch.channels_last if channels_last else torch.contiguous_format
    model = wrap(FCN8s().to(device, memory_format=form))
    return model, [torch.from_numpy(image).to(device).contiguous(memory_format=form)
                   for image in images(task)], wait


def autocast(model):
    """The model, its products in bf16 on a CPU. Raises Absent where the processor has none."""
    import torch
    check_bf16()
    model.forward = torch.autocast("cpu", torch.bfloat16)(model.forward)
    return model


def by_compiler(made):
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


def exported_to_gpu(task, folder):
    """The engine's net as a torch module, compiled into CUDA graphs."""
    import torch

    import caffe
    wait = gpu_wait()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    run = compiled(caffe.to_torch(pycaffe.forward(task, folder)[0]).cuda(),
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
