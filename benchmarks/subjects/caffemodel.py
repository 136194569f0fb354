"""Reading and writing FCN-8s' caffemodel."""


def read(task, folder):
    net = saved(folder)
    return lambda: net.copy_from(str(folder / "some.caffemodel"))


def write(task, folder):
    net = saved(folder)
    return lambda: net.save(str(folder / "some.caffemodel"))


def saved(folder):
    import caffe
    from fcn import nets
    net = caffe.Net(str(nets.write_prototxt(folder / "deploy.prototxt",
                                            nets.fcn("fcn8s", "deploy"))), caffe.TEST)
    net.save(str(folder / "some.caffemodel"))
    return net
