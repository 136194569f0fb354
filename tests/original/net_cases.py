"""Random nets, and random sequences of what a script does with them."""

import numpy as np

from random_nets import RandomNet

# {method of Operations: how often it is drawn}
OFTEN = {"forward": 4, "forward_part": 1, "backward": 4, "backward_part": 1, "read": 3,
         "write": 2, "write_param": 2, "look": 1, "clear": 1, "resize": 1}


def net_case(seed, count=14):
    """The arguments of plays.play_net: a net and `count` things that are done with it."""
    rng = np.random.default_rng(seed)
    net = RandomNet(rng, int(rng.integers(2)), sizes=int(rng.choice([1, 3])), without={"Interp"})
    return {"text": "\n".join(net.lines), "phase": net.phase,
            "operations": Operations(rng, net).drawn(count)}


class Operations:
    """Draws the operations of plays.NetPlay for a RandomNet; each method returns some."""

    def __init__(self, rng, net):
        self.rng, self.net = rng, net
        self.limited = tuple(name for name, (kind, *_) in net.fillings.items() if kind != "normal")

    def drawn(self, count):
        """Begins with values everywhere and a forward pass, ends with a look at everything."""
        names = self.rng.choice(list(OFTEN), count,
                                p=np.array(list(OFTEN.values())) / sum(OFTEN.values()))
        return [("fill_params", self.number()), *self.refill(), ("forward",),
                *(operation for name in names for operation in getattr(self, name)()),
                ("read_all", "data", "diff")]

    def number(self):
        return int(self.rng.integers(1 << 30))

    def kind(self):
        return str(self.rng.choice(["data", "diff"]))

    def refill(self):
        return [("write", name, "data", filling, self.number())
                for name, filling in self.net.fillings.items()]

    def forward(self):
        return [*(self.refill() if self.rng.random() < 0.8 else []), ("forward",)]

    def backward(self):
        outputs = [("write_output_diffs", self.number())] if self.rng.random() < 0.7 else []
        return [*outputs, ("backward",)]

    def forward_part(self):
        return [("forward_part", self.number(), self.number())]

    def backward_part(self):
        return [("backward_part", self.number(), self.number())]

    def read(self):
        return [("read", self.number(), self.kind())]

    def write(self):
        return [("write_some", self.number(), self.kind(), self.number(), self.limited)]

    def write_param(self):
        return [("write_param", self.number(), self.kind(), self.number())]

    def look(self):
        return [("read_all", "data")]

    def clear(self):
        return [("clear_param_diffs",)]

    def resize(self):
        """All inputs get the shapes that belong to another shape of the data."""
        if self.net.sizes == 1:
            return []
        size = self.rng.integers(self.net.sizes)
        return [("resize", {name: self.net.shapes[name][size] for name in self.net.fillings}),
                *self.refill(), ("forward",), ("write_all_diffs",)]
