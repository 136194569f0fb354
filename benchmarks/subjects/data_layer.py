"""A data layer that reads photographs: how fast it is, and how long a training waits for it."""

import time

from subjects import photographs

SAMPLES = 16


def samples(task, folder):
    """SAMPLES of a folder of JPEG photographs and PNG labels, as fast as they come."""
    net = data_net(folder)

    def run():
        for _ in range(SAMPLES):
            net.forward()
    return run


def waiting(computing, **params):
    """The subject that waits for SAMPLES, and computes for so many seconds in between; `params`
    are keys of the data layer."""
    def subject(task, folder):
        net = data_net(folder, **params)

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


def data_net(folder, **params):
    """A net of nothing but the data layer; `params` are keys of it."""
    import caffe
    from fcn import nets
    source = photographs.source(folder, [(375, 500)] * SAMPLES).with_training(**params)
    param = nets.fcn("fcn32s", "train", source=source, width=1 / 64)
    del param.layer[1:]
    return caffe.Net(str(nets.write_prototxt(folder / "data.prototxt", param)), caffe.TRAIN)
