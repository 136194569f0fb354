"""Random nets of the layers that caffe_model knows; that also says the shapes of their blobs."""

import math

from google.protobuf import text_format

from caffe.proto import caffe_pb2
from caffe_model import Refused
from caffe_model.layer import TYPES

TRAIN, TEST = 0, 1
MOST = 12000        # values of a blob
GAUSS = 'filler { type: "gaussian" std: 1 }'
WEIGHTS = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "gaussian" std: 0.3 }'
NORMALIZATIONS = (
    "", "ignore_label: 1", "normalization: FULL", "normalization: NONE ignore_label: 0",
    "normalize: false", "normalization: BATCH_SIZE ignore_label: 1")
NEURONS = {     # {type: settings}
    "Sigmoid": [""], "TanH": [""], "ELU": ["", "elu_param { alpha: 0.3 }"], "BNLL": [""]}
NOT_SMOOTH = {
    "Exp": ["exp_param { scale: 0.5 }", "exp_param { base: 2 scale: 0.3 shift: 0.5 }"],
    "ReLU": ["", "relu_param { negative_slope: 0.2 }"], "AbsVal": [""],
    "Clip": ["clip_param { min: -0.5 max: 1 }"]}


class RandomNet:
    """A net with a blob "data", whose numbers `rng` draws.

    Parameters
    ----------
    phase : TRAIN or TEST; in TRAIN there is no Dropout, which draws numbers of its own
    is_smooth : whether values that nearly agree have gradients that nearly agree, so that floats
        can be held against doubles
    sizes : how many shapes the data may have
    without : types of layers that it does not get

    Attributes
    ----------
    lines : list of the text of each layer, and of force_backward
    shapes : {blob: [its shape for each shape of the data, ...]}, without the branches of splits
    fillings : {input: what its values are}: ("normal",), ("classes", how many), ("choice",) of
        0 and 1, not all 0
    """

    def __init__(self, rng, phase=TEST, is_smooth=False, sizes=1, without=()):
        self.rng, self.phase, self.is_smooth, self.sizes = rng, phase, is_smooth, sizes
        self.without = without
        self.lines, self.fillings, self.shapes = [], {}, {}
        self._count, self._read = 0, set()
        self._axes = self.pick([2] * 10 + [1, 3])   # nearly all nets are for images
        channels = self.upto(1, 3)
        self._input("data", [(self.upto(1, 2), channels, *self._size()) for _ in range(sizes)],
                    "normal")
        if self.chance(0.6) and self._axes == 2:
            self._trunk()
        makers = self._makers()
        for _ in range(self.upto(2, 11)):
            self.pick(makers)(self._blob())
        for _ in range(self.pick([0, 1, 1, 1, 2])):
            self._loss(self._blob())
        if self.chance(0.4):
            self.lines.append("force_backward: true")

    # drawing

    def pick(self, among):
        return among[self.rng.integers(len(among))]

    def upto(self, least, most):
        return int(self.rng.integers(least, most + 1))

    def chance(self, share):
        return self.rng.random() < share

    def _size(self):
        return tuple(self.upto(3, 9 if self._axes < 3 else 5) for _ in range(self._axes))

    def _blob(self):
        """A blob with as many axes as the data, one of the last as a rule."""
        names = [name for name, (shape, *_) in self.shapes.items()
                 if len(shape) == self._axes + 2 and name not in self.fillings or name == "data"]
        return self.pick(names[-4:] if self.chance(0.85) else names)

    def _makers(self):
        of_any = [self._convolution] * 4 + [self._neuron] * 4 + [
            self._scale, self._bias, self._eltwise, self._eltwise, self._concat,
            self._concat, self._single, self._slice, self._power, self._softmax, self._flatten,
            self._reduction, self._inner_product, self._tile]
        of_images = [self._deconvolution, self._pooling, self._pooling, self._shared, self._lrn,
                     self._crop, self._interp]
        if not self.is_smooth:
            of_any += [self._argmax, self._batch_norm] + [self._prelu] * (self._axes < 3)
            of_images += [self._mvn]
        rare = [self._spp, self._embed, self._silence]
        if self.sizes == 1:
            rare += [self._reshape, self._filter, self._recurrent]
        return (of_any + of_images * (self._axes == 2) + [self.pick(rare)] * (self._axes == 2)
                + [self._dropout] * (self.phase == TEST))

    # layers

    def _input(self, name, shapes, *filling):
        dims = " ".join(f"dim: {size}" for size in shapes[0])
        self.lines.append(f'layer {{ name: "{name}" type: "Input" top: "{name}" '
                          f'input_param {{ shape {{ {dims} }} }} }}')
        self.shapes[name], self.fillings[name] = shapes, filling
        return name

    def _add(self, kind, bottoms, settings="", tops=1, in_place=False):
        """A layer, unless its tops would be empty or large, or its parameters other ones for other
        shapes of the data; returns the names of the tops."""
        if kind in self.without:
            return []
        name = f"l{self._count + 1}"
        names = ([bottoms[0]] if in_place else [name] if tops == 1
                 else [f"{name}_{i}" for i in range(tops)])
        text = (f'name: "{name}" type: "{kind}" ' + " ".join(f'bottom: "{b}"' for b in bottoms)
                + "".join(f' top: "{top}"' for top in names) + f" {settings}")
        spec = text_format.Parse(text, caffe_pb2.LayerParameter())
        layer = TYPES[kind](spec, self.phase)
        try:
            given = list(zip(*(self.shapes[b] for b in bottoms)))
            parameters, *others = [layer.setup(*shapes) for shapes in given]
            found = [layer.shapes(*shapes) for shapes in given]
        except (Refused, IndexError):
            return []
        if any(other != parameters for other in others) or any(
                min(shape, default=1) < 1 or math.prod(shape) > MOST
                for shapes in [*found, parameters] for shape in shapes):
            return []
        if "param {" not in settings and self.chance(0.25):
            rates = [0] if kind == "BatchNorm" or self.chance(0.6) else [0, 1, 2]
            text += "".join(f" param {{ lr_mult: {self.pick(rates)} decay_mult: "
                            f"{self.pick([0, 1])} }}" for _ in parameters)
        if self.chance(0.2):
            text += "".join(f" propagate_down: {self.pick(['true', 'false'])}" for _ in bottoms)
        # the gradient of MVN would be 0, but for rounding
        if self.chance(0.06) and not in_place and "loss_weight" not in settings \
                and kind not in ("Filter", "MVN"):
            weights = [self.pick([0, 0.5, 2]) for _ in names]
            text += "".join(f" loss_weight: {weight}" for weight in weights)
            self._read.update(name for name, weight in zip(names, weights) if weight)
        self._count += 1
        self.lines.append(f"layer {{ {text} }}")
        self._read.update(bottoms[1:] if in_place else bottoms)
        self.shapes.update(zip(names, zip(*found)))
        return names

    def _may_overwrite(self, bottom):
        return bottom not in self._read and bottom != "data" and self.chance(0.5)

    def _alike(self, bottom, axis=None):
        """Blobs of the shape of `bottom`, but for one axis."""
        def kinds(name):
            return [[n for i, n in enumerate(shape) if i != axis] for shape in self.shapes[name]]
        axes = len(self._shape(bottom))
        return [name for name in self.shapes if name not in self.fillings or name == "data"
                if len(self._shape(name)) == axes and kinds(name) == kinds(bottom)]

    def _shape(self, name):
        return self.shapes[name][0]

    def _trunk(self):
        """A first convolution with so wide a padding that rows of its top are all alike."""
        self._add("Convolution", ["data"], "convolution_param { "
                  f"num_output: {2 * self.upto(1, 3)} kernel_size: {self.upto(2, 4)} "
                  f"pad: {self.upto(6, 14)} stride: {self.pick([1, 1, 2])} {WEIGHTS} }}")

    def _convolution(self, bottom):
        axes, channels = self._axes, self._shape(bottom)[1]
        group = self.pick([g for g in (1, 2, 3) if channels % g == 0])
        fields = {"kernel_size": [1, 2, 3], "stride": [1, 1, 1, 2, 3], "pad": [0, 1, 2],
                  "dilation": [1, 1, 2]}
        window = " ".join(f"{field}: {self.pick(among)}" for field, among in fields.items()
                          for _ in range(axes))
        bottoms = [bottom]
        if self.chance(0.05):
            bottoms.append(self.pick(self._alike(bottom)))
        self._add("Convolution", bottoms, f"convolution_param {{ num_output: "
                  f"{group * self.upto(1, 2)} {window} group: {group} {self._bias_or_none()} "
                  f"{WEIGHTS} }}", tops=len(bottoms))

    def _bias_or_none(self):
        return self.pick(["", "", "bias_term: false"])

    def _shared(self, bottom):
        """Two convolutions with the same parameters, perhaps with a ReLU between them."""
        names = " ".join(f'param {{ name: "s{self._count}{i}" }}' for i in range(2))
        settings = (f"convolution_param {{ num_output: {self._shape(bottom)[1]} kernel_size: 3 "
                    f"pad: 1 {WEIGHTS} }} {names}")
        for top in self._add("Convolution", [bottom], settings):
            if self._may_overwrite(top) and not self.is_smooth:
                self._add("ReLU", [top], in_place=True)
            self._add("Convolution", [top], settings)

    def _deconvolution(self, bottom):
        kernel = [self.upto(1, 4), self.upto(1, 4)]
        stride = [self.upto(1, 3), self.upto(1, 3)] if self.chance(0.6) else kernel
        pad = [self.upto(0, min(1, k - 1)) for k in kernel] if self.chance(0.4) else [0, 0]
        group = self.pick([g for g in (1, 2, 3) if self._shape(bottom)[1] % g == 0])
        window = " ".join(f"{name}_{axis}: {value}" for name, values
                          in (("kernel", kernel), ("stride", stride), ("pad", pad))
                          for axis, value in zip("hw", values))
        tops = self._add("Deconvolution", [bottom], f"convolution_param {{ num_output: "
                         f"{group * self.upto(1, 2)} {window} group: {group} "
                         f"{self._bias_or_none()} {WEIGHTS} }}")
        if tops and self.chance(0.5):
            self._crop(tops[0])

    def _pooling(self, bottom):
        kinds = ["AVE"] if self.is_smooth or self._may_tie else ["MAX", "AVE"]
        if self.chance(0.15):
            self._add("Pooling", [bottom], f"pooling_param {{ pool: {self.pick(kinds)} "
                      "global_pooling: true }")
            return
        kernel, stride = self.upto(1, 3), self.upto(1, 3)
        kind, pad = self.pick(kinds), self.upto(0, kernel - 1)
        rounding = self.pick(["CEIL", "CEIL", "FLOOR"])
        if stride > kernel or any(kernel > min(shape[2:]) for shape in self.shapes[bottom]):
            return      # without a pad, Caffe has windows that begin behind the image
        self._add("Pooling", [bottom], f"pooling_param {{ pool: {kind} kernel_size: {kernel} "
                  f"stride: {stride} pad: {pad} round_mode: {rounding} }}",
                  tops=2 if kind == "MAX" and self.chance(0.2) else 1)

    def _spp(self, bottom):
        kinds = ["AVE"] if self.is_smooth or self._may_tie else ["MAX", "AVE"]
        if all(min(shape[2:]) > 3 for shape in self.shapes[bottom]):
            self._add("SPP", [bottom], f"spp_param {{ pyramid_height: {self.upto(1, 2)} "
                      f"pool: {self.pick(kinds)} }}")

    def _neuron(self, bottom):
        kinds = NEURONS if self.is_smooth else {**NEURONS, **NOT_SMOOTH}
        kind = "ReLU" if not self.is_smooth and self.chance(0.5) else self.pick(list(kinds))
        self._add(kind, [bottom], self.pick(kinds[kind]),
                  in_place=self._may_overwrite(bottom) and kind != "AbsVal")

    def _prelu(self, bottom):
        self._add("PReLU", [bottom], self.pick(["", "prelu_param { channel_shared: true }"]),
                  in_place=self._may_overwrite(bottom))

    def _dropout(self, bottom):
        self._add("Dropout", [bottom], in_place=self._may_overwrite(bottom))

    def _power(self, bottom):
        self._add("Power", [bottom], f"power_param {{ power: {self.pick([1, 1, 2, 0])} scale: "
                  f"{self.pick([1, -0.5, 0.3, 0])} shift: {self.pick([0, 1, -0.5])} }}",
                  in_place=self._may_overwrite(bottom))

    def _softmax(self, bottom):
        self._add("Softmax", [bottom], in_place=self._may_overwrite(bottom))

    def _scale(self, bottom):
        bias = self.pick(["", "bias_term: true"])
        others = [name for name, shapes in self.shapes.items() if name != bottom
                  and name not in self.fillings
                  and len({len(other) if other == shape[:len(other)] else -1
                           for other, shape in zip(shapes, self.shapes[bottom])} - {1, 2, 4}) == 0]
        if others and self.chance(0.3):
            self._add("Scale", [bottom, self.pick(others)], f"scale_param {{ axis: 0 {bias} }}",
                      in_place=self._may_overwrite(bottom))
            return
        self._add("Scale", [bottom], f"scale_param {{ {self._operand()} {bias} {GAUSS} }}",
                  in_place=self._may_overwrite(bottom))

    def _operand(self):
        return f"axis: {self.pick([0, 1, 1, 2])} num_axes: {self.pick([0, 1, 1])}"

    def _bias(self, bottom):
        self._add("Bias", [bottom], f"bias_param {{ {self._operand()} {GAUSS} }}",
                  in_place=self._may_overwrite(bottom))

    def _batch_norm(self, bottom):
        if all(math.prod(shape) // shape[1] >= 4 for shape in self.shapes[bottom]):
            self._add("BatchNorm", [bottom], self.pick(
                ["", *(f"batch_norm_param {{ use_global_stats: {value} }}"
                       for value in ("true", "false"))]), in_place=self._may_overwrite(bottom))

    def _lrn(self, bottom):
        self._add("LRN", [bottom], f"lrn_param {{ local_size: {self.pick([1, 3, 5])} alpha: 0.5 "
                  f"k: 2 beta: {self.pick([0.75, 0.5])} norm_region: "
                  f"{self.pick(['ACROSS_CHANNELS', 'WITHIN_CHANNEL'])} }}")

    def _mvn(self, bottom):
        values = "true", "false"
        self._add("MVN", [bottom], f"mvn_param {{ normalize_variance: {self.pick(values)} "
                  f"across_channels: {self.pick(values)} eps: 0.01 }}")

    def _eltwise(self, bottom):
        bottoms = [bottom, *(self.pick(self._alike(bottom)) for _ in range(self.upto(1, 2)))]
        operation = self.pick(["SUM", "SUM"] + ["PROD", "MAX"] * (not self.is_smooth))
        coefficients = ""
        if operation == "SUM" and self.chance(0.5):
            coefficients = " ".join(f"coeff: {self.pick([1, -1, 0.5, 2])}" for _ in bottoms)
        elif operation == "PROD":
            coefficients = self.pick(["", "stable_prod_grad: false"])
        self._add("Eltwise", bottoms, f"eltwise_param {{ operation: {operation} {coefficients} }}",
                  in_place=operation == "PROD" and len(set(bottoms)) == len(bottoms)
                  and self._may_overwrite(bottom))

    def _concat(self, bottom):
        axis = self.pick([1, 1, 1, 0, 2, -1])
        alike = self._alike(bottom, axis % len(self._shape(bottom)))
        self._add("Concat", [bottom, *(self.pick(alike) for _ in range(self.upto(1, 2)))],
                  f"concat_param {{ axis: {axis} }}")

    def _single(self, bottom):
        self._add(self.pick(["Concat", "Slice"]), [bottom])

    def _slice(self, bottom):
        axis = self.pick([1, 1, 2])
        size = min(shape[axis] for shape in self.shapes[bottom])
        if size > 1:
            self._add("Slice", [bottom], f"slice_param {{ axis: {axis} "
                      f"slice_point: {self.upto(1, size - 1)} }}", tops=2)

    def _flatten(self, bottom):
        for top in self._add("Flatten", [bottom]):
            if self._may_overwrite(top):
                self._add("Sigmoid", [top], in_place=True)

    def _reshape(self, bottom):
        _, channels, height, width = self._shape(bottom)
        for top in self._add("Reshape", [bottom], f"reshape_param {{ shape {{ dim: 0 dim: "
                             f"{channels * height} dim: {self.pick([width, -1])} dim: 1 }} }}"):
            if self._may_overwrite(top):
                self._add("TanH", [top], in_place=True)

    def _crop(self, bottom):
        def rooms(other):
            """How far the window may be moved, for each shape of the data and each axis."""
            return [[m - n for n, m in zip(small[2:], large[2:])] for small, large
                    in zip(self.shapes[other], self.shapes[bottom])]
        others = [name for name in self.shapes if len(self._shape(name)) == 4 and name != bottom
                  and min(map(min, rooms(name))) >= 0 and name not in self.fillings]
        if others:
            other = self.pick(others)
            offsets = " ".join(f"offset: {self.upto(0, min(room))}" for room in zip(*rooms(other)))
            self._add("Crop", [bottom, other], f"crop_param {{ axis: 2 {offsets} }}")

    def _tile(self, bottom):
        self._add("Tile", [bottom], f"tile_param {{ axis: {self.pick([0, 1, 2])} tiles: 2 }}")

    def _interp(self, bottom):
        self._add("Interp", [bottom], f"interp_param {{ height: {self.upto(1, 12)} "
                  f"width: {self.upto(1, 12)} }}")

    def _reduction(self, bottom):
        kinds = ["SUM", "SUMSQ", "MEAN"] + ["ASUM"] * (not self.is_smooth)
        self._add("Reduction", [bottom], f"reduction_param {{ operation: {self.pick(kinds)} "
                  f"axis: {self.pick([0, 1, 2])} coeff: 0.3 }}")

    @property
    def _may_tie(self):
        """Whether rounding may decide which of several values is the largest, because without it
        they were equal."""
        return any('"MVN"' in line or '"Interp"' in line for line in self.lines)

    def _argmax(self, bottom):
        if self._may_tie:
            return
        self._add("ArgMax", [bottom], f"argmax_param {{ axis: 1 "
                  f"{self.pick(['', 'out_max_val: true'])} }}")

    def _inner_product(self, bottom):
        self._add("InnerProduct", [bottom], f"inner_product_param {{ num_output: {self.upto(1, 3)} "
                  f"axis: {self.pick([1, 1, 2])} transpose: {self.pick(['true', 'false'])} "
                  f"{self._bias_or_none()} {WEIGHTS} }}")

    def _embed(self, bottom):
        rows = self.upto(2, 5)
        index = self._input(f"index{self._count}", [(2, self.upto(1, 4))] * self.sizes,
                            "classes", rows)
        self._add("Embed", [index], f"embed_param {{ input_dim: {rows} num_output: "
                  f"{self.upto(1, 3)} {self._bias_or_none()} {WEIGHTS} }}")

    def _filter(self, bottom):
        choice = self._input(f"choice{self._count}", [(self._shape(bottom)[0], 1, 1, 1)],
                             "choice")
        for top in self._add("Filter", [bottom, choice]):
            self._add("TanH", [top])
            del self.shapes[top], self.shapes[f"l{self._count}"]    # of no certain shape

    def _silence(self, bottom):
        self._add("Silence", [bottom], tops=0)

    def _recurrent(self, bottom):
        steps, streams = self.upto(1, 3), self.upto(1, 2)
        sequence = self._input(f"sequence{self._count}", [(steps, streams, 2)], "normal")
        going_on = self._input(f"going_on{self._count}", [(steps, streams)], "choice")
        self._add(self.pick(["LSTM", "RNN"]), [sequence, going_on],
                  f"recurrent_param {{ num_output: 2 {WEIGHTS} }}")

    # losses

    def _loss(self, bottom):
        if bottom == "data":
            return
        kind = self.pick(["SoftmaxWithLoss", "SoftmaxWithLoss", "SigmoidCrossEntropyLoss"]
                         + ["EuclideanLoss"] * (self._axes < 3)
                         + ["Accuracy"] * (not self.is_smooth and not self._may_tie)
                         + ["HingeLoss"] * (not self.is_smooth and self._axes < 3))
        shapes, name = self.shapes[bottom], f"label{self._count}"
        shape, positions = shapes[0], [(shape[0], 1, *shape[2:]) for shape in shapes]
        if kind == "EuclideanLoss":
            self._add(kind, [bottom, self._input(name, shapes, "normal")])
        elif kind == "SigmoidCrossEntropyLoss":
            self._add(kind, [bottom, self._input(name, shapes, "classes", 2)],
                      f"loss_param {{ {self.pick(NORMALIZATIONS)} }}")
        elif kind == "HingeLoss":
            items, classes = [shape[:1] for shape in shapes], min(
                math.prod(shape[1:]) for shape in shapes)
            self._add(kind, [bottom, self._input(name, items, "classes", classes)],
                      f"hinge_loss_param {{ norm: {self.pick(['L1', 'L2'])} }}")
        elif kind == "Accuracy":
            self._add(kind, [bottom, self._input(name, positions, "classes", shape[1])],
                      self.pick(["", "accuracy_param { ignore_label: 0 }"]))
        else:
            two = self.chance(0.2)
            self._add(kind, [bottom, self._input(name, positions, "classes", shape[1])],
                      f"loss_param {{ {self.pick(NORMALIZATIONS)} }}"
                      + " loss_weight: 1 loss_weight: 0" * two, tops=1 + two)
