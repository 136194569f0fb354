"""Random nets for images of any size, with what passes are recorded or leave rows out for."""

from trunks import image, layer

FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
ELEMENTWISE = {     # {type: fields}
    "ReLU": {}, "Sigmoid": {}, "PReLU": {},
    "Power": {"power_param": "scale: 0.5 shift: 1"},
    "Scale": {"scale_param": 'bias_term: true filler { type: "gaussian" }'},
    "Bias": {"bias_param": 'filler { type: "gaussian" }'}}
OF_MAPS = {
    "LRN": {"lrn_param": "local_size: 3 alpha: 0.5"}, "Softmax": {}, "MVN": {},
    "BatchNorm": {"batch_norm_param": "use_global_stats: false"}}


class RandomNet:
    """`text` is that of a net with a blob "data", made of layers that fit images of any size."""

    def __init__(self, rng):
        self.rng, self.count, self.read = rng, 0, set()
        self.kinds = {"data": 0}        # blobs whose shapes are always the same have the same
        self.maps = ["data"]            # those with 4 axes
        self.text = "force_backward: true\n" * int(rng.integers(2)) + image(12, 9)
        self.convolution("data", pad=int(rng.choice([1, 20, 20])))
        for _ in range(rng.integers(2, 8)):
            make = rng.choice([self.convolution, self.pooling, self.elementwise, self.elementwise,
                               self.of_maps, self.flat, self.joined])
            make(rng.choice(self.maps[-3:]))
        if rng.integers(2):
            self.add("Reduction", self.maps[-1], None, "loss_weight: 1",
                     reduction_param=f"operation: {rng.choice(['SUM', 'SUMSQ'])} coeff: 0.01")

    def add(self, kind, bottoms, shape, more="", in_place=False, **fields):
        """A layer whose top, if it has 4 axes, has the shape with this number."""
        self.count += 1
        name = f"l{self.count}"
        top = bottoms if in_place else name
        self.text += layer(name, kind, bottoms, top, **fields).rstrip()[:-1] + f" {more} }}\n"
        if not in_place:
            self.read.update(bottoms.split())
            self.kinds[top] = shape
            if shape is not None:
                self.maps.append(top)

    def convolution(self, bottom, pad=1):
        learns = "param { lr_mult: 0 } param { lr_mult: 0 }" * int(self.rng.integers(4) == 0)
        self.add("Convolution", bottom, self.count + 1, learns, convolution_param=(
            f"num_output: 2 kernel_size: 3 pad: {pad} {FILL}"))

    def pooling(self, bottom):
        self.add("Pooling", bottom, self.count + 1,
                 pooling_param="pool: AVE kernel_size: 3 stride: 2")

    def elementwise(self, bottom):
        kind = self.rng.choice(list(ELEMENTWISE))
        self.add(kind, bottom, self.kinds[bottom], in_place=self.may_overwrite(bottom),
                 **ELEMENTWISE[kind])

    def of_maps(self, bottom):
        kind = self.rng.choice(list(OF_MAPS))
        self.add(kind, bottom, self.kinds[bottom], in_place=self.may_overwrite(bottom)
                 and kind == "Softmax", **OF_MAPS[kind])

    def may_overwrite(self, bottom):
        return bottom not in self.read and bottom != "data" and bool(self.rng.integers(3))

    def flat(self, bottom):
        """The values in another shape, perhaps overwritten there."""
        self.add("Flatten", bottom, None)
        if self.rng.integers(2):
            self.add("ReLU", f"l{self.count}", None, in_place=True)

    def joined(self, bottom):
        alike = [name for name in self.maps if self.kinds[name] == self.kinds[bottom]]
        both = f"{bottom} {self.rng.choice(alike)}"
        if self.rng.integers(2):
            self.add("Concat", both, self.count + 1)
        else:
            self.add("Eltwise", both, self.kinds[bottom], eltwise_param=(
                f"operation: {self.rng.choice(['SUM', 'PROD', 'MAX'])}"))
