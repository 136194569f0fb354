"""Random nets of one layer of a fork of Caffe, or of a few that belong together, and solvers with
one, in the language of all ages of Caffe: legacy inputs, because the older forks have no Input.

They leave out what docs/fidelity.md lists as faults of the forks.
"""

import numpy as np
from solver_cases import SNAPSHOT_AT, STEPS, solver


class Case:
    """Collects the inputs and layers of a net, the last layer's tops, and what is done with it."""

    backward = True     # whether the net runs backward
    adds = True         # whether in the fork, too, the gradients of parameters add up
    forced = True       # whether the inputs get gradients

    def __init__(self, rng):
        self.rng = rng
        self.inputs, self.fillings, self.layers, self.written = [], [], [], []

    def bottom(self, shape, filling=("normal",)):
        """The name of a new input."""
        name = f"b{len(self.inputs)}"
        self.fillings.append(filling)
        self.inputs.append(f'input: "{name}" input_shape {{ '
                           f'{" ".join(f"dim: {size}" for size in shape)} }}')
        return name

    def layer(self, kind, bottoms, tops, text="", written=1):
        """A layer; gradients are written into as many of its tops, if it is the last."""
        names = [*(f'bottom: "{name}"' for name in bottoms), *(f'top: "{name}"' for name in tops)]
        self.layers.append(f'layer {{ name: "L{len(self.layers)}" type: "{kind}" '
                           f'{" ".join(names)} {text} }}')
        self.written = tops[:written]

    def size(self, least, most):
        return int(self.rng.integers(least, most + 1))

    def pick(self, *values):
        return values[self.rng.integers(len(values))]

    def maps(self, least=1, most=9):
        return [self.size(1, 3), self.size(1, 4), self.size(least, most), self.size(least, most)]

    def scores_and_labels(self, classes, least=1):
        """Names and the classes of scores, some of them equal, and of labels."""
        classes = self.size(*classes)
        shape = [self.size(1, 3), classes, self.size(least, 6), self.size(least, 6)]
        scores = self.bottom(shape, self.pick(("normal",), ("classes", 2)))
        return scores, self.bottom([shape[0], 1, *shape[2:]], ("classes", classes)), classes

    def text(self):
        return "\n".join([*["force_backward: true"] * self.forced, *self.inputs, *self.layers])

    def operations(self, seed):
        """One to three passes with new values."""
        found = [("fill_params", seed)]
        for i in range(seed, seed + 1000 * self.pick(1, 1, 2, 3), 1000):
            found += [*self.values(i), ("forward",), ("read_all", "data")]
            if self.backward:
                found += [("zero_param_diffs",)] * (not self.adds)
                found += [("write", top, "diff", ("normal",), i + 100) for top in self.written]
                found += [("backward",), ("read_all", "data", "diff")]
        return found

    def values(self, seed):
        return [("write", f"b{i}", "data", filling, seed + i)
                for i, filling in enumerate(self.fillings)]


def drawn_case(seed, kind):
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    case = Case(rng)
    KINDS[kind][1](case)
    return case


def fork_case(seed, kind):
    """The arguments of plays.play_net: passes of a net with this kind of layer."""
    case = drawn_case(seed, kind)
    return {"text": case.text(), "phase": case.size(0, 1), "operations": case.operations(seed)}


def weights_case(seed, kind, path):
    """The arguments of plays.play_net, of the side that writes weights and of that which reads
    them; what both show last has to agree."""
    case = drawn_case(seed, kind)
    last = [*case.values(seed), ("forward",), ("read_all", "data")]
    return [{"text": case.text(), "phase": 1, "operations": [
        ("fill_params", filled), (method, str(path)), *last]}
        for filled, method in ((seed, "save"), (seed + 1, "copy_from"))]


def segnet_bn(case):
    case.adds = False
    learns = case.pick(True, True, False)
    tops = [case.pick("t", "t", "b0") if learns else "t",
            *["mean", "variance"][:learns * case.size(0, 2)]]
    fillers = case.pick("", "scale_filler { value: 2 } shift_filler { value: 0.5 }")
    case.layer("BN", [case.bottom(case.maps(2))], tops,
               f"bn_param {{ bn_mode: {'LEARN' if learns else 'INFERENCE'} {fillers} }}")


def upsample(case):
    """Of max pooling's mask; backward the fork needs the scale."""
    shape = [case.size(1, 3), case.size(1, 4), 2 * case.size(1, 4), 2 * case.size(1, 4)]
    case.backward = case.pick(True, False)
    size = "scale: 2" if case.backward else f"upsample_h: {shape[2]} upsample_w: {shape[3]}"
    case.layer("Pooling", [case.bottom(shape)], ["p", "mask"],
               f"pooling_param {{ kernel_size: {case.size(2, 3)} stride: 2 }}")
    case.layer("Upsample", ["p", "mask"], ["t"], f"upsample_param {{ {size} }}")


def upsample_anywhere(case):
    """Of any mask, in which places may repeat."""
    shape, scale = case.maps(1, 4), case.size(2, 3)
    mask = ("classes", shape[2] * shape[3] * scale ** 2)
    case.layer("Upsample", [case.bottom(shape), case.bottom(shape, mask)], ["t"],
               f"upsample_param {{ scale: {scale} }}")


def segnet_loss(case):
    scores, labels, classes = case.scores_and_labels((3, 5), least=3)
    weights = [f"class_weighting: {case.pick(0.5, 1, 2.25, 0.1826, 0)}" for _ in range(classes)]
    case.layer("SoftmaxWithLoss", [scores, labels], ["t"], " ".join([
        "loss_param {", case.pick("", "weight_by_label_freqs: true"), *weights,
        case.pick("", "ignore_label: 0", "ignore_label: 255"),
        case.pick("", "normalize: true", "normalize: false"), "}"]), written=0)


def permute(case):
    axes = case.size(1, 5)
    order = case.rng.permutation(axes)[:case.size(0, axes)]
    case.layer("Permute", [case.bottom(case.rng.integers(1, 5, axes))], ["t"],
               f"permute_param {{ {' '.join(f'order: {axis}' for axis in order)} }}")


def normalize(case):
    shape = case.maps(1, 5)[:case.pick(4, 4, 3, 2)]
    case.forced = case.pick(True, False)    # by the bottom, the fork's is right of one scale
    case.layer("Normalize", [case.bottom(shape)], ["t"], " ".join([
        "norm_param {", "" if case.forced else "channel_shared: false",
        case.pick("", "across_spatial: true", "across_spatial: false"),
        case.pick("", "eps: 0.01", "eps: 1"), case.pick("", "scale_filler { value: 20 }"), "}"]))


def smooth_l1_loss(case):
    shape = case.maps(1, 4)[:case.pick(4, 4, 2, 1)]
    case.layer("SmoothL1Loss", [case.bottom(shape), case.bottom(shape)], ["t"],
               case.pick("", "loss_weight: 2"), written=0)


def roi_pooling(case):
    """Whose gradient the fork has on a GPU alone."""
    case.backward, shape = False, case.maps(2, 9)
    regions = case.bottom([case.size(1, 5), 5], ("regions", shape[0]))
    case.layer("ROIPooling", [case.bottom(shape), regions], ["t"],
               f"roi_pooling_param {{ pooled_h: {case.size(1, 4)} pooled_w: {case.size(1, 4)} "
               f"spatial_scale: {case.pick(0.0625, 0.1, 0.37)} }}")


def prior_box(case):
    """Whose sizes may have fractions, which do not count."""
    case.backward = case.forced = False
    image = case.bottom([1, 3, case.size(8, 40), case.size(8, 40)])
    sizes = [case.size(1, 20) + case.pick(0, 0, 0.7) for _ in range(case.size(1, 2))]
    largest = [size + case.size(1, 9) for size in sizes] if case.pick(True, False) else []
    case.layer("PriorBox", [case.bottom(case.maps(1, 5)), image], ["t"], " ".join([
        "prior_box_param {", *(f"min_size: {size}" for size in sizes),
        *(f"max_size: {size}" for size in largest),
        *(f"aspect_ratio: {case.pick(2, 3, 0.5, 1, 1.7, 0.3333)}" for _ in range(case.size(0, 3))),
        case.pick("", "flip: false"), case.pick("", "clip: true"), case.pick("", "offset: 0.2"),
        case.pick("", "variance: 0.3", "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.3"),
        case.pick("", "img_size: 30", "img_h: 20 img_w: 31"),
        case.pick("", "step: 3.3", "step_h: 4 step_w: 5.7"), "}"]))


def detection_output(case):
    """Of scores that are not equal: of many equal ones the fork takes any."""
    case.backward = case.forced = False
    items, boxes, classes = case.size(1, 3), case.pick(1, 5, 40, 700), case.size(2, 5)
    shared = case.pick(True, False)
    bottoms = [case.bottom([items, boxes * 4 * (1 if shared else classes)]),
               case.bottom([items, boxes * classes]), case.bottom([1, 2, 4 * boxes], ("boxes",))]
    case.layer("DetectionOutput", bottoms, ["t"], " ".join([
        f"detection_output_param {{ num_classes: {classes} share_location: {str(shared).lower()}",
        f"background_label_id: {case.pick(0, 0, 1, classes)}",
        f"code_type: {case.pick('CORNER', 'CENTER_SIZE', 'CENTER_SIZE', 'CORNER_SIZE')}",
        f"nms_param {{ nms_threshold: {case.pick(0, 0.3, 0.45, 0.9)}",
        case.pick("", "top_k: -1", "top_k: 3", "top_k: 50"),
        case.pick("", "eta: 0.9", "eta: 0.5"), "}",
        case.pick("", "keep_top_k: -1", "keep_top_k: 2", "keep_top_k: 30"),
        case.pick("", "variance_encoded_in_target: true"),
        case.pick("", "confidence_threshold: 0", "confidence_threshold: 1.5",
                  "confidence_threshold: 9"), "}"]))


def pspnet_bn(case):
    case.layer("BN", [case.bottom(case.maps(2, 6))], [case.pick("t", "t", "b0")], " ".join([
        "bn_param {", f"frozen: {case.pick('true', 'false', 'false')}",
        case.pick("", "momentum: 0.5", "momentum: 0.95"), case.pick("", "eps: 0.001", "eps: 0.1"),
        case.pick("", "slope_filler { value: 1 }", "bias_filler { value: 0.5 }"), "}"]))


def interp(case):
    most = {"zoom_factor": 8, "shrink_factor": 4, "height": 20, "width": 20}
    names = case.pick(["zoom_factor"], ["shrink_factor"], ["height", "width"],
                      ["zoom_factor", "shrink_factor"], list(most), ["zoom_factor", "height"])
    pads = [f"pad_beg: {-case.size(0, 1)}", f"pad_end: {-case.size(0, 1)}"]
    settings = [f"{name}: {case.size(1, most[name])}" for name in names]
    case.layer("Interp", [case.bottom(case.maps())], ["t"],
               f"interp_param {{ {' '.join(settings + case.pick([], [], pads))} }}")


def seg_accuracy(case):
    case.backward = case.forced = False
    scores, labels, _ = case.scores_and_labels((1, 5))
    ignored = case.pick("", "ignore_label: 0", "ignore_label: 255 ignore_label: 1")
    case.layer("SegAccuracy", [scores, labels], ["t"],
               f"seg_accuracy_param {{ {ignored} {case.pick('', 'reset: false')} }}")


def colours(case):
    """What the values of an image are; the second also around 0."""
    return case.pick(("whole", 0, 256), ("whole", -30, 31))


def dense_crf(case):
    case.backward = case.forced = False
    height, width = case.size(4, 12), case.size(4, 12)
    least = min(height, width)
    bottoms = [case.bottom([1, case.size(2, 4), height, width]),
               case.bottom([1, 1, 1, 2], ("whole", least - 2, least + 1)),
               case.bottom([1, 3, height, width], colours(case))]
    case.layer("DenseCRF", bottoms, ["t"], " ".join([
        "dense_crf_param {", f"max_iter: {case.size(0, 5)} pos_xy_std: {case.pick(1, 3)}",
        f"pos_w: {case.pick(0, 1, 3)} bi_xy_std: {case.pick(3, 20)}",
        f"bi_rgb_std: {case.pick(5, 30)} bi_w: {case.pick(0, 1, 5)}",
        case.pick("", "output_probability: false"), "}"]))


def meanfield(case):
    """Which reads spatial.par and bilateral.par in the working folder."""
    case.adds = False
    batch, height, width = case.size(1, 2), case.size(4, 10), case.size(4, 10)
    scores = [batch, case.size(2, CLASSES), height, width]
    bottoms = [case.bottom(scores), case.bottom(scores),
               case.bottom([batch, 3, height, width], colours(case))]
    case.layer("MultiStageMeanfield", bottoms, ["t"], " ".join([
        "multi_stage_meanfield_param {", f"num_iterations: {case.size(2, 4)}",
        f"theta_alpha: {case.pick(10, 60)} theta_beta: {case.pick(3, 30)}",
        f"theta_gamma: {case.pick(1, 3)} threshold: 2 }}"]))


def crop(case):
    """To an input, of what is made from it by pooling and deconvolution, by the coordinate map."""
    x, channels = case.bottom(case.maps(6, 9)), case.size(1, 2)
    sizes = f"convolution_param {{ num_output: {channels} kernel_size: "
    case.layer("Convolution", [x], ["c"], f"{sizes} 3 pad: {case.size(1, 5)} }}")
    case.layer("Pooling", ["c"], ["p"], "pooling_param { kernel_size: 2 stride: 2 }")
    case.layer("Deconvolution", ["p"], ["d"],
               f"{sizes} {case.pick(2, 4, 6)} stride: 2 bias_term: false }}")
    case.layer("Crop", ["d", x], ["t"])


CLASSES = 4     # at most, of meanfield
# {what: (the field of the fork's own schema that shows that it has it, what draws a case)}
KINDS = {
    "SegNet's BN": ("BNParameter.bn_mode", segnet_bn),
    "Upsample": ("UpsampleParameter.scale", upsample),
    "Upsample anywhere": ("UpsampleParameter.scale", upsample_anywhere),
    "SegNet's SoftmaxWithLoss": ("LossParameter.class_weighting", segnet_loss),
    "Permute": ("PermuteParameter.order", permute),
    "Normalize": ("NormalizeParameter.across_spatial", normalize),
    "SSD's SmoothL1Loss": ("PriorBoxParameter.min_size", smooth_l1_loss),
    "ROIPooling": ("ROIPoolingParameter.pooled_h", roi_pooling),
    "PSPNet's BN": ("BNParameter.frozen", pspnet_bn),
    "Interp": ("InterpParameter.zoom_factor", interp),
    "SegAccuracy": ("SegAccuracyParameter.reset", seg_accuracy),
    "DenseCRF": ("DenseCRFParameter.max_iter", dense_crf),
    "MultiStageMeanfield": ("MultiStageMeanfieldParameter.theta_alpha", meanfield),
    "Crop": ("MultiStageMeanfieldParameter.theta_alpha", crop),
    "PriorBox": ("PriorBoxParameter.min_size", prior_box),
    "DetectionOutput": ("DetectionOutputParameter.num_classes", detection_output),
}
WITH_WEIGHTS = ["SegNet's BN", "Normalize", "PSPNet's BN", "Crop"]
TRAINED = "BNParameter.frozen"      # what shows that a fork trains the nets of fork_solver_case


def fork_solver_case(seed):
    """The arguments of plays.play_solver, but for its folder and what it restores."""
    case = Case(np.random.default_rng(seed))

    def rates(count):
        return " ".join(f"param {{ lr_mult: {case.pick(0, 1, 1, 2)} decay_mult: "
                        f"{case.pick(0, 1, 2)} }}" for _ in range(count))
    top = case.pick("c", "n")
    case.layer("Convolution", ["x"], ["c"],
               f"{rates(2)} convolution_param {{ num_output: 3 kernel_size: 3 pad: 1 }}")
    case.layer("BN", ["c"], [top], f"{rates(case.pick(0, 2, 4))} bn_param {{ "
               f"frozen: {case.pick('true', 'false', 'false')} momentum: {case.pick(0.9, 0.5)} }}")
    case.layer("TanH", [top], [top])
    case.layer("Interp", [top], ["i"], "interp_param { zoom_factor: 2 }")
    case.layer("Convolution", ["i"], ["y"],
               f"{rates(2)} convolution_param {{ num_output: 2 kernel_size: 1 }}")
    case.layer("EuclideanLoss", ["y", "t"], ["loss"])
    inputs = [f'input: "{name}" input_shape {{ dim: 2 dim: {channels} dim: {size} dim: {size} }}'
              for name, channels, size in (("x", 3, 4), ("t", 2, 7))]
    return {"net": "\n".join([*inputs, *case.layers]), "solver": solver(case.rng), "seed": seed,
            "steps": STEPS, "snapshot_at": SNAPSHOT_AT}
