"""The small nets with which Caffe is taught, and which own data are trained with, as NetParameters
whose inputs are data and label."""

from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec
from fcn import nets

# {name: (shape of the data, number of classes)}
NETS = {"lenet": ((64, 1, 28, 28), 10), "cifar": ((100, 3, 32, 32), 10),
        "caffenet": ((8, 3, 227, 227), 1000), "narrow": ((1, 3, 360, 480), 21)}
MAX, AVE = P.Pooling.MAX, P.Pooling.AVE


def training_net(name):
    """The train net of one of NETS."""
    shape, classes = NETS[name]
    if name == "narrow":
        return fed_by_hand(nets.fcn("fcn32s", "train", width=1 / 8), shape)
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=list(shape)))
    n.label = L.Input(shape=dict(dim=[shape[0]]))
    scores = {"lenet": lenet, "cifar": cifar_quick, "caffenet": caffenet}[name](n, classes)
    n.loss = L.SoftmaxWithLoss(scores, n.label)
    return n.to_proto()


def fed_by_hand(param, shape):
    """The net with inputs data, of that shape, and label in place of its data layer."""
    source = param.layer[0]
    source.Clear()
    source.name, source.type = "data", "Input"
    source.top.extend(["data", "label"])
    for each in (shape, (1, 1, *shape[2:])):
        source.input_param.shape.add(dim=each)
    return param


def convolved(n, name, bottom, outputs, kernel, **options):
    n[name] = L.Convolution(bottom, num_output=outputs, kernel_size=kernel,
                            weight_filler=dict(type="xavier"), **options)
    return n[name]


def product(n, name, bottom, outputs):
    n[name] = L.InnerProduct(bottom, num_output=outputs, weight_filler=dict(type="xavier"))
    return n[name]


def pooled(n, name, bottom, pool, kernel):
    n[name] = L.Pooling(bottom, pool=pool, kernel_size=kernel, stride=2)
    return n[name]


def rectified(n, name, bottom):
    n[name] = L.ReLU(bottom, in_place=True)
    return n[name]


def lenet(n, classes):
    """LeNet as Caffe's MNIST example trains it."""
    x = pooled(n, "pool1", convolved(n, "conv1", n.data, 20, 5), MAX, 2)
    x = pooled(n, "pool2", convolved(n, "conv2", x, 50, 5), MAX, 2)
    return product(n, "ip2", rectified(n, "relu1", product(n, "ip1", x, 500)), classes)


def cifar_quick(n, classes):
    """The quick net of Caffe's CIFAR-10 example."""
    x = pooled(n, "pool1", convolved(n, "conv1", n.data, 32, 5, pad=2), MAX, 3)
    x = rectified(n, "relu1", x)
    for number, outputs in ((2, 32), (3, 64)):
        x = rectified(n, f"relu{number}", convolved(n, f"conv{number}", x, outputs, 5, pad=2))
        x = pooled(n, f"pool{number}", x, AVE, 3)
    return product(n, "ip2", product(n, "ip1", x, 64), classes)


def caffenet(n, classes):
    """CaffeNet, Krizhevsky et al.'s net but that it pools before it normalises."""
    def normalised(name, bottom):
        n[name] = L.LRN(bottom, local_size=5, alpha=1e-4, beta=0.75)
        return n[name]
    x = rectified(n, "relu1", convolved(n, "conv1", n.data, 96, 11, stride=4))
    x = normalised("norm1", pooled(n, "pool1", x, MAX, 3))
    x = rectified(n, "relu2", convolved(n, "conv2", x, 256, 5, pad=2, group=2))
    x = normalised("norm2", pooled(n, "pool2", x, MAX, 3))
    x = rectified(n, "relu3", convolved(n, "conv3", x, 384, 3, pad=1))
    x = rectified(n, "relu4", convolved(n, "conv4", x, 384, 3, pad=1, group=2))
    x = rectified(n, "relu5", convolved(n, "conv5", x, 256, 3, pad=1, group=2))
    x = pooled(n, "pool5", x, MAX, 3)
    for number in (6, 7):
        x = rectified(n, f"relu{number}", product(n, f"fc{number}", x, 4096))
        n[f"drop{number}"] = x = L.Dropout(x, in_place=True)
    return product(n, "fc8", x, classes)
