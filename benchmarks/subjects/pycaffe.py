"""The nets and training steps of the tasks by pycaffe's names, which the project's engine and
BVLC's have. `forward`, `step`, `small_step` and `schedule` make a pair: a net, and what runs it.
"""

import numpy as np

from subjects import clock, photographs
from subjects.inputs import RNG, fill_inputs, images

EXPERIMENTS = {"fcn32s": "voc-fcn32s", "alexnet": "voc-fcn-alexnet",
               "googlenet": "voc-fcn-googlenet", "deeplab": "voc-deeplab-largefov",
               "unet": "isbi-unet"}     # of the tasks; FCN-8s of the others
STEPS = 500                             # of a schedule


def forward(task, folder, width=1.0):
    """The task's net, as a Net, and a function that runs it over the task's images."""
    import caffe
    net = caffe.Net(deploy(task, folder, width), caffe.TEST)
    fill_weights(net)
    inputs = images(task)

    def run():
        for image in inputs:
            net.blobs["data"].reshape(*image.shape)
            net.blobs["data"].data[...] = image
            net.forward()
    return net, run


def step(task, folder, width=1.0):
    """FCN-8s, as the Net of a solver, and a function that trains it one step."""
    image, = images(task)
    solver = solver_fed_by_hand(folder, image.shape, width)
    solver.net.blobs["data"].data[...] = image
    solver.net.blobs["label"].data[...] = RNG.integers(0, 21, (1, 1, *image.shape[2:]))
    return solver.net, lambda: solver.step(1)


def small_step(task, folder):
    """A small net, as the Net of a solver, and a function that trains it one step."""
    from small_nets import NETS, training_net
    name = task.partition("-")[2]
    solver = solver_of(folder, training_net(name))
    fill_inputs(solver.net, NETS[name][1])
    return solver.net, lambda: clock.each_of_many(lambda: solver.step(1))


def schedule(task, folder, width=1.0):
    """The same with photographs of the sizes that VOC's have, and STEPS of them."""
    from fcn import nets
    source = photographs.source_like_voc(folder)
    solver = solver_of(folder, nets.fcn("fcn8s", "train", source=source, width=width))
    return solver.net, lambda: solver.step(STEPS)


def solver_fed_by_hand(folder, shape, width=1.0):
    """The solver of FCN-8s, whose inputs are data, of that shape, and label."""
    from fcn import nets
    from small_nets import fed_by_hand
    return solver_of(folder, fed_by_hand(nets.fcn("fcn8s", "train", width=width), shape))


def solver_of(folder, param):
    """The solver of a net, with weights, at the paper's momentum and weight decay."""
    import caffe
    from fcn import nets
    nets.write_prototxt(folder / "train.prototxt", param)
    (folder / "solver.prototxt").write_text(
        f'train_net: "{folder}/train.prototxt" base_lr: 1e-14 lr_policy: "fixed" momentum: 0.99 '
        f'weight_decay: 0.0005 snapshot_prefix: "{folder}/s" snapshot_after_train: false')
    solver = caffe.SGDSolver(str(folder / "solver.prototxt"))
    fill_weights(solver.net)
    return solver


def deploy(task, folder, width=1.0):
    """The deploy prototxt of the task's net."""
    from fcn import nets
    name = EXPERIMENTS.get(task.partition("-")[0])
    if name:
        nets.write(name, folder)
        return str(folder / "deploy.prototxt")
    return str(nets.write_prototxt(folder / "deploy.prototxt",
                                   nets.fcn("fcn8s", "deploy", width=width)))


def fill_weights(net):
    """Fill the weights with noise that keeps the size of what passes, upsampling bilinearly."""
    from fcn import surgery
    for name, blobs in net.params.items():
        if name.startswith("upscore"):
            surgery.interp(net, [name])
        else:
            weights = blobs[0].data
            RNG.standard_normal(dtype=np.float32, out=weights)      # no second copy in memory
            weights *= (2 / np.prod(weights.shape[1:])) ** 0.5
