"""Nets of one layer each, which exports are tried on."""

import caffe

Z = 'bottom: "x" bottom: "z" top: "y"'
X = 'bottom: "x" top: "y"'
FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" }'
GAUSS = 'filler { type: "gaussian" }'

LAYERS = {
    "conv": f'type: "Convolution" {X} convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 '
            f'group: 2 {FILL} }}',
    "conv rect": f'type: "Convolution" {X} convolution_param {{ num_output: 3 kernel_h: 3 '
                 f'kernel_w: 2 stride: 2 pad: 2 dilation: 2 {FILL} }}',
    "deconv": f'type: "Deconvolution" {X} convolution_param {{ num_output: 4 kernel_size: 4 '
              f'stride: 2 pad: 1 group: 2 {FILL} }}',
    "relu": f'type: "ReLU" {X}', "leaky": f'type: "ReLU" {X} relu_param {{ negative_slope: 0.1 }}',
    "prelu": f'type: "PReLU" {X} prelu_param {{ {GAUSS} }}',
    "prelu shared": f'type: "PReLU" {X} prelu_param {{ channel_shared: true }}',
    "elu": f'type: "ELU" {X} elu_param {{ alpha: 0.5 }}',
    "sigmoid": f'type: "Sigmoid" {X}', "tanh": f'type: "TanH" {X}', "abs": f'type: "AbsVal" {X}',
    "bnll": f'type: "BNLL" {X}', "swish": f'type: "Swish" {X} swish_param {{ beta: 2 }}',
    "clip": f'type: "Clip" {X} clip_param {{ min: -0.5 max: 1 }}',
    "threshold": f'type: "Threshold" {X} threshold_param {{ threshold: 0.2 }}',
    "power": f'type: "Power" {X} power_param {{ power: 2 scale: 3 shift: 1 }}',
    "exp": f'type: "Exp" {X} exp_param {{ base: 2 scale: 0.5 shift: 1 }}',
    "exp e": f'type: "Exp" {X}',
    "log": f'type: "Log" {X} log_param {{ base: 10 scale: 0.1 shift: 3 }}',
    "dropout": f'type: "Dropout" {X}',
    "dropout_that_scales": f'type: "Dropout" {X} dropout_param {{ scale_train: false }}',
    "sum": f'type: "Eltwise" {Z} eltwise_param {{ coeff: 2 coeff: -1 }}',
    "product": f'type: "Eltwise" {Z} eltwise_param {{ operation: PROD }}',
    "maximum": f'type: "Eltwise" {Z} eltwise_param {{ operation: MAX }}',
    "scale": f'type: "Scale" {X} scale_param {{ bias_term: true {GAUSS} bias_{GAUSS} }}',
    "scale scalar": f'type: "Scale" {X} scale_param {{ num_axes: 0 {GAUSS} }}',
    "bias": f'type: "Bias" {X} bias_param {{ {GAUSS} }}',
    "scale given": f'type: "Scale" {Z} scale_param {{ axis: 0 }}',
    "fc axis": f'type: "InnerProduct" {X} inner_product_param {{ num_output: 3 axis: 1 {FILL} }}',
    "fc transposed": f'type: "InnerProduct" {X} inner_product_param {{ num_output: 3 axis: -1 '
                     f'transpose: true bias_term: false {FILL} }}',
    "batch norm": f'type: "BatchNorm" {X}',
    "lrn": f'type: "LRN" {X} lrn_param {{ alpha: 0.5 local_size: 5 k: 2 }}',
    "lrn within": f'type: "LRN" {X} lrn_param {{ alpha: 0.5 norm_region: WITHIN_CHANNEL }}',
    "softmax": f'type: "Softmax" {X}',
    "mvn": f'type: "MVN" {X}',
    "mvn across": f'type: "MVN" {X} mvn_param {{ across_channels: true '
                  'normalize_variance: false }',
    "argmax": f'type: "ArgMax" {X} argmax_param {{ axis: 1 }}',
    "argmax values": f'type: "ArgMax" {X} argmax_param {{ axis: 1 out_max_val: true }}',
    "argmax all": f'type: "ArgMax" {X} argmax_param {{ out_max_val: true }}',
    "sum of squares": f'type: "Reduction" {X} reduction_param {{ operation: SUMSQ axis: 1 '
                      'coeff: 0.5 }',
    "mean": f'type: "Reduction" {X} reduction_param {{ operation: MEAN axis: 2 }}',
    "asum": f'type: "Reduction" {X} reduction_param {{ operation: ASUM coeff: 2 }}',
    "crop": 'type: "Crop" bottom: "x" bottom: "r" top: "y" crop_param { axis: 2 offset: 1 '
            'offset: 2 }',
    "concat": f'type: "Concat" {Z}',
    "slice": f'type: "Slice" {X} top: "y2" slice_param {{ slice_point: 1 }}',
    "slice height": f'type: "Slice" {X} top: "y2" top: "y3" slice_param {{ axis: 2 slice_point: 1 '
                    'slice_point: 3 }',
    "slice equally": f'type: "Slice" {X} top: "y2" slice_param {{ axis: 3 }}',
    "tile": f'type: "Tile" {X} tile_param {{ axis: 1 tiles: 2 }}',
    "reshape": f'type: "Reshape" {X} reshape_param {{ shape {{ dim: 0 dim: -1 dim: 2 }} }}',
    "reshape middle": f'type: "Reshape" {X} reshape_param {{ shape {{ dim: 2 dim: 2 }} axis: 1 '
                      'num_axes: 1 }',
    "flatten": f'type: "Flatten" {X}',
    "flatten middle": f'type: "Flatten" {X} flatten_param {{ axis: 1 end_axis: 2 }}',
    "interp": f'type: "Interp" {X} interp_param {{ height: 13 width: 5 }}',
    "interp zoom": f'type: "Interp" {X} interp_param {{ zoom_factor: 4 pad_beg: -1 pad_end: -1 }}',
    "interp shrink": f'type: "Interp" {X} interp_param {{ shrink_factor: 2 }}',
    "interp both": f'type: "Interp" {X} interp_param {{ shrink_factor: 3 zoom_factor: 2 '
                   'pad_beg: -1 }',
    "interp sized": 'type: "Interp" bottom: "x" bottom: "r" top: "y" interp_param { pad_beg: -1 }',
    "padding": f'type: "Padding" {X} padding_param {{ pad_beg: 1 pad_end: 2 }}',
    "padding cut": f'type: "Padding" {X} padding_param {{ pad_beg: -1 pad_end: -1 }}',
    "frozen bn": f'type: "BN" {X} bn_param {{ frozen: true slope_{GAUSS} bias_{GAUSS} }}',
    "inference bn": f'type: "BN" {X} bn_param {{ bn_mode: INFERENCE scale_{GAUSS} shift_{GAUSS} }}',
    "relu6": f'type: "ReLU6" {X}',
    "axpy": 'type: "Axpy" bottom: "f" bottom: "x" bottom: "z" top: "y"',
    "permute": f'type: "Permute" {X} permute_param {{ order: 0 order: 2 order: 3 }}',
    "normalize": f'type: "Normalize" {X}',
    "normalize each": f'type: "Normalize" {X} norm_param {{ across_spatial: false channel_shared: '
                      f'false scale_{GAUSS} }}',
    "depthwise": f'type: "DepthwiseConvolution" {X} convolution_param {{ num_output: 8 '
                 f'kernel_size: 3 pad: 1 {FILL} }}',
    "hole": f'type: "Convolution" {X} convolution_param {{ num_output: 3 kernel_size: 3 pad: 2 '
            f'hole: 2 {FILL} }}',
    "floor pool": f'type: "Pooling" {X} pooling_param {{ kernel_size: 3 stride: 2 ceil_mode: false '
                  '}',
    "global ave": f'type: "Pooling" {X} pooling_param {{ pool: AVE global_pooling: true }}',
    "global max": f'type: "Pooling" {X} pooling_param {{ global_pooling: true }}',
}
# these take all of an image's values, or of a row
FIXED = {"fc axis", "fc transposed"}


def build(tmp_path, layer, x=(2, 4, 7, 6), phase=caffe.TEST, more=None):
    """A net of a layer, from its text, and {input: shape}, `x` for x and z."""
    known = {"x": x, "z": x, "r": (1, 1, 3, 4), "f": (*x[:2], 1, 1), **(more or {})}
    shapes = {name: shape for name, shape in known.items() if f'bottom: "{name}"' in layer}
    text = "".join(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
                   + " ".join(f"dim: {n}" for n in shape) + " } } }\n"
                   for name, shape in shapes.items())
    (tmp_path / "net.prototxt").write_text(text + f'layer {{ name: "layer" {layer} }}')
    return caffe.Net(str(tmp_path / "net.prototxt"), phase), shapes
