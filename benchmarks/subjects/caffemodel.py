"""Reading and writing FCN-8s' caffemodel."""


def read(task, folder):
    """A function that reads the caffemodel into the net."""
    net = saved(folder)
    return lambda: net.copy_from(str(folder / "some.caffemodel"))


def write(task, folder):
    """A function that writes it anew."""
    net = saved(folder)
    return lambda: net.save(str(folder / "some.caffemodel"))


def saved(folder):
    """FCN-8s, whose some.caffemodel is in the folder."""
    import caffe
    from fcn import nets
    net = caffe.Net(str(nets.write_prototxt(folder / "deploy.prototxt",
                                            nets.fcn("fcn8s", "deploy"))), caffe.TEST)
    net.save(str(folder / "some.caffemodel"))
    return net
