# Written by `python -m caffe.proto.stubs`; a new schema or layer needs it
from typing import Any, ClassVar, TypeVar

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

_T = TypeVar("_T")

class _Messages(list[_T]):
    def add(self, **fields: Any) -> _T: ...

DESCRIPTOR: FileDescriptor
Phase: EnumTypeWrapper
TRAIN: int
TEST: int

class BlobShape(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    dim: list[int]
    def __init__(self, *, dim: Any = ...) -> None: ...

class BlobProto(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    num: int
    channels: int
    height: int
    width: int
    data: list[float]
    diff: list[float]
    shape: BlobShape
    double_data: list[float]
    double_diff: list[float]
    def __init__(self, *, num: Any = ..., channels: Any = ..., height: Any = ..., width: Any = ..., data: Any = ..., diff: Any = ..., shape: Any = ..., double_data: Any = ..., double_diff: Any = ...) -> None: ...

class BlobProtoVector(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    blobs: _Messages[BlobProto]
    def __init__(self, *, blobs: Any = ...) -> None: ...

class Datum(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    channels: int
    height: int
    width: int
    data: bytes
    label: int
    float_data: list[float]
    encoded: bool
    def __init__(self, *, channels: Any = ..., height: Any = ..., width: Any = ..., data: Any = ..., label: Any = ..., float_data: Any = ..., encoded: Any = ...) -> None: ...

class NetParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    name: str
    layers: _Messages[V1LayerParameter]
    input: list[str]
    input_dim: list[int]
    force_backward: bool
    state: NetState
    debug_info: bool
    input_shape: _Messages[BlobShape]
    layer: _Messages[LayerParameter]
    def __init__(self, *, name: Any = ..., layers: Any = ..., input: Any = ..., input_dim: Any = ..., force_backward: Any = ..., state: Any = ..., debug_info: Any = ..., input_shape: Any = ..., layer: Any = ...) -> None: ...

class NetState(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    phase: int
    level: int
    stage: list[str]
    def __init__(self, *, phase: Any = ..., level: Any = ..., stage: Any = ...) -> None: ...

class NetStateRule(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    phase: int
    min_level: int
    max_level: int
    stage: list[str]
    not_stage: list[str]
    def __init__(self, *, phase: Any = ..., min_level: Any = ..., max_level: Any = ..., stage: Any = ..., not_stage: Any = ...) -> None: ...

class LayerParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    name: str
    type: str
    bottom: list[str]
    top: list[str]
    loss_weight: list[float]
    param: _Messages[ParamSpec]
    blobs: _Messages[BlobProto]
    include: _Messages[NetStateRule]
    exclude: _Messages[NetStateRule]
    phase: int
    propagate_down: list[bool]
    accuracy_param: AccuracyParameter
    argmax_param: ArgMaxParameter
    batch_norm_param: BatchNormParameter
    bias_param: BiasParameter
    clip_param: ClipParameter
    concat_param: ConcatParameter
    contrastive_loss_param: ContrastiveLossParameter
    convolution_param: ConvolutionParameter
    crop_param: CropParameter
    data_param: DataParameter
    dropout_param: DropoutParameter
    dummy_data_param: DummyDataParameter
    eltwise_param: EltwiseParameter
    elu_param: ELUParameter
    embed_param: EmbedParameter
    exp_param: ExpParameter
    flatten_param: FlattenParameter
    hdf5_data_param: HDF5DataParameter
    hdf5_output_param: HDF5OutputParameter
    hinge_loss_param: HingeLossParameter
    image_data_param: ImageDataParameter
    infogain_loss_param: InfogainLossParameter
    inner_product_param: InnerProductParameter
    input_param: InputParameter
    log_param: LogParameter
    loss_param: LossParameter
    lrn_param: LRNParameter
    memory_data_param: MemoryDataParameter
    mvn_param: MVNParameter
    parameter_param: ParameterParameter
    pooling_param: PoolingParameter
    power_param: PowerParameter
    prelu_param: PReLUParameter
    python_param: PythonParameter
    recurrent_param: RecurrentParameter
    reduction_param: ReductionParameter
    relu_param: ReLUParameter
    reshape_param: ReshapeParameter
    scale_param: ScaleParameter
    sigmoid_param: SigmoidParameter
    slice_param: SliceParameter
    softmax_param: SoftmaxParameter
    spp_param: SPPParameter
    swish_param: SwishParameter
    tanh_param: TanHParameter
    threshold_param: ThresholdParameter
    tile_param: TileParameter
    transform_param: TransformationParameter
    window_data_param: WindowDataParameter
    bn_param: BNParameter
    dense_crf_param: DenseCRFParameter
    dense_image_data_param: DenseImageDataParameter
    interp_param: InterpParameter
    multi_stage_meanfield_param: MultiStageMeanfieldParameter
    norm_param: NormalizeParameter
    permute_param: PermuteParameter
    roi_pooling_param: ROIPoolingParameter
    seg_accuracy_param: SegAccuracyParameter
    smooth_l1_loss_param: SmoothL1LossParameter
    softmaxloss_param: SoftmaxLossParameter
    unpooling_param: UnpoolingParameter
    upsample_param: UpsampleParameter
    strict_dim: bool
    mat_write_param: MatWriteParameter
    padding_param: PaddingParameter
    eltwise_accuracy_param: EltwiseAccuracyParameter
    detection_output_param: DetectionOutputParameter
    prior_box_param: PriorBoxParameter
    psroi_pooling_param: PSROIPoolingParameter
    def __init__(self, *, name: Any = ..., type: Any = ..., bottom: Any = ..., top: Any = ..., loss_weight: Any = ..., param: Any = ..., blobs: Any = ..., include: Any = ..., exclude: Any = ..., phase: Any = ..., propagate_down: Any = ..., accuracy_param: Any = ..., argmax_param: Any = ..., batch_norm_param: Any = ..., bias_param: Any = ..., clip_param: Any = ..., concat_param: Any = ..., contrastive_loss_param: Any = ..., convolution_param: Any = ..., crop_param: Any = ..., data_param: Any = ..., dropout_param: Any = ..., dummy_data_param: Any = ..., eltwise_param: Any = ..., elu_param: Any = ..., embed_param: Any = ..., exp_param: Any = ..., flatten_param: Any = ..., hdf5_data_param: Any = ..., hdf5_output_param: Any = ..., hinge_loss_param: Any = ..., image_data_param: Any = ..., infogain_loss_param: Any = ..., inner_product_param: Any = ..., input_param: Any = ..., log_param: Any = ..., loss_param: Any = ..., lrn_param: Any = ..., memory_data_param: Any = ..., mvn_param: Any = ..., parameter_param: Any = ..., pooling_param: Any = ..., power_param: Any = ..., prelu_param: Any = ..., python_param: Any = ..., recurrent_param: Any = ..., reduction_param: Any = ..., relu_param: Any = ..., reshape_param: Any = ..., scale_param: Any = ..., sigmoid_param: Any = ..., slice_param: Any = ..., softmax_param: Any = ..., spp_param: Any = ..., swish_param: Any = ..., tanh_param: Any = ..., threshold_param: Any = ..., tile_param: Any = ..., transform_param: Any = ..., window_data_param: Any = ..., bn_param: Any = ..., dense_crf_param: Any = ..., dense_image_data_param: Any = ..., interp_param: Any = ..., multi_stage_meanfield_param: Any = ..., norm_param: Any = ..., permute_param: Any = ..., roi_pooling_param: Any = ..., seg_accuracy_param: Any = ..., smooth_l1_loss_param: Any = ..., softmaxloss_param: Any = ..., unpooling_param: Any = ..., upsample_param: Any = ..., strict_dim: Any = ..., mat_write_param: Any = ..., padding_param: Any = ..., eltwise_accuracy_param: Any = ..., detection_output_param: Any = ..., prior_box_param: Any = ..., psroi_pooling_param: Any = ...) -> None: ...

class ParamSpec(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    DimCheckMode: ClassVar[EnumTypeWrapper]
    STRICT: ClassVar[int]
    PERMISSIVE: ClassVar[int]
    name: str
    share_mode: int
    lr_mult: float
    decay_mult: float
    def __init__(self, *, name: Any = ..., share_mode: Any = ..., lr_mult: Any = ..., decay_mult: Any = ...) -> None: ...

class FillerParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    VarianceNorm: ClassVar[EnumTypeWrapper]
    FAN_IN: ClassVar[int]
    FAN_OUT: ClassVar[int]
    AVERAGE: ClassVar[int]
    type: str
    value: float
    min: float
    max: float
    mean: float
    std: float
    sparse: int
    variance_norm: int
    def __init__(self, *, type: Any = ..., value: Any = ..., min: Any = ..., max: Any = ..., mean: Any = ..., std: Any = ..., sparse: Any = ..., variance_norm: Any = ...) -> None: ...

class SolverParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    SnapshotFormat: ClassVar[EnumTypeWrapper]
    HDF5: ClassVar[int]
    BINARYPROTO: ClassVar[int]
    SolverMode: ClassVar[EnumTypeWrapper]
    CPU: ClassVar[int]
    GPU: ClassVar[int]
    SolverType: ClassVar[EnumTypeWrapper]
    SGD: ClassVar[int]
    NESTEROV: ClassVar[int]
    ADAGRAD: ClassVar[int]
    RMSPROP: ClassVar[int]
    ADADELTA: ClassVar[int]
    ADAM: ClassVar[int]
    train_net: str
    test_net: list[str]
    test_iter: list[int]
    test_interval: int
    base_lr: float
    display: int
    max_iter: int
    lr_policy: str
    gamma: float
    power: float
    momentum: float
    weight_decay: float
    stepsize: int
    snapshot: int
    snapshot_prefix: str
    snapshot_diff: bool
    solver_mode: int
    device_id: int
    test_compute_loss: bool
    random_seed: int
    train_net_param: NetParameter
    test_net_param: _Messages[NetParameter]
    debug_info: bool
    net: str
    net_param: NetParameter
    train_state: NetState
    test_state: _Messages[NetState]
    snapshot_after_train: bool
    regularization_type: str
    solver_type: int
    delta: float
    test_initialization: bool
    average_loss: int
    stepvalue: list[int]
    clip_gradients: float
    iter_size: int
    snapshot_format: int
    rms_decay: float
    momentum2: float
    type: str
    layer_wise_reduce: bool
    weights: list[str]
    def __init__(self, *, train_net: Any = ..., test_net: Any = ..., test_iter: Any = ..., test_interval: Any = ..., base_lr: Any = ..., display: Any = ..., max_iter: Any = ..., lr_policy: Any = ..., gamma: Any = ..., power: Any = ..., momentum: Any = ..., weight_decay: Any = ..., stepsize: Any = ..., snapshot: Any = ..., snapshot_prefix: Any = ..., snapshot_diff: Any = ..., solver_mode: Any = ..., device_id: Any = ..., test_compute_loss: Any = ..., random_seed: Any = ..., train_net_param: Any = ..., test_net_param: Any = ..., debug_info: Any = ..., net: Any = ..., net_param: Any = ..., train_state: Any = ..., test_state: Any = ..., snapshot_after_train: Any = ..., regularization_type: Any = ..., solver_type: Any = ..., delta: Any = ..., test_initialization: Any = ..., average_loss: Any = ..., stepvalue: Any = ..., clip_gradients: Any = ..., iter_size: Any = ..., snapshot_format: Any = ..., rms_decay: Any = ..., momentum2: Any = ..., type: Any = ..., layer_wise_reduce: Any = ..., weights: Any = ...) -> None: ...

class SolverState(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    iter: int
    learned_net: str
    history: _Messages[BlobProto]
    current_step: int
    def __init__(self, *, iter: Any = ..., learned_net: Any = ..., history: Any = ..., current_step: Any = ...) -> None: ...

class TransformationParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    scale: float
    mirror: bool
    crop_size: int
    mean_file: str
    mean_value: list[float]
    force_color: bool
    force_gray: bool
    scale_factors: list[float]
    crop_width: int
    crop_height: int
    def __init__(self, *, scale: Any = ..., mirror: Any = ..., crop_size: Any = ..., mean_file: Any = ..., mean_value: Any = ..., force_color: Any = ..., force_gray: Any = ..., scale_factors: Any = ..., crop_width: Any = ..., crop_height: Any = ...) -> None: ...

class LossParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    NormalizationMode: ClassVar[EnumTypeWrapper]
    FULL: ClassVar[int]
    VALID: ClassVar[int]
    BATCH_SIZE: ClassVar[int]
    NONE: ClassVar[int]
    ignore_label: int
    normalize: bool
    normalization: int
    weight_by_label_freqs: bool
    class_weighting: list[float]
    def __init__(self, *, ignore_label: Any = ..., normalize: Any = ..., normalization: Any = ..., weight_by_label_freqs: Any = ..., class_weighting: Any = ...) -> None: ...

class AccuracyParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    top_k: int
    axis: int
    ignore_label: int
    def __init__(self, *, top_k: Any = ..., axis: Any = ..., ignore_label: Any = ...) -> None: ...

class ArgMaxParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    out_max_val: bool
    top_k: int
    axis: int
    def __init__(self, *, out_max_val: Any = ..., top_k: Any = ..., axis: Any = ...) -> None: ...

class BatchNormParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    use_global_stats: bool
    moving_average_fraction: float
    eps: float
    def __init__(self, *, use_global_stats: Any = ..., moving_average_fraction: Any = ..., eps: Any = ...) -> None: ...

class BiasParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    axis: int
    num_axes: int
    filler: FillerParameter
    def __init__(self, *, axis: Any = ..., num_axes: Any = ..., filler: Any = ...) -> None: ...

class ClipParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    min: float
    max: float
    def __init__(self, *, min: Any = ..., max: Any = ...) -> None: ...

class ConcatParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    concat_dim: int
    axis: int
    def __init__(self, *, concat_dim: Any = ..., axis: Any = ...) -> None: ...

class ContrastiveLossParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    margin: float
    legacy_version: bool
    def __init__(self, *, margin: Any = ..., legacy_version: Any = ...) -> None: ...

class ConvolutionParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    num_output: int
    bias_term: bool
    pad: list[int]
    kernel_size: list[int]
    group: int
    stride: list[int]
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    pad_h: int
    pad_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    engine: int
    axis: int
    force_nd_im2col: bool
    dilation: list[int]
    hole: list[int]
    hole_h: int
    hole_w: int
    def __init__(self, *, num_output: Any = ..., bias_term: Any = ..., pad: Any = ..., kernel_size: Any = ..., group: Any = ..., stride: Any = ..., weight_filler: Any = ..., bias_filler: Any = ..., pad_h: Any = ..., pad_w: Any = ..., kernel_h: Any = ..., kernel_w: Any = ..., stride_h: Any = ..., stride_w: Any = ..., engine: Any = ..., axis: Any = ..., force_nd_im2col: Any = ..., dilation: Any = ..., hole: Any = ..., hole_h: Any = ..., hole_w: Any = ...) -> None: ...

class CropParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    axis: int
    offset: list[int]
    def __init__(self, *, axis: Any = ..., offset: Any = ...) -> None: ...

class DataParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    DB: ClassVar[EnumTypeWrapper]
    LEVELDB: ClassVar[int]
    LMDB: ClassVar[int]
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    rand_skip: int
    backend: int
    force_encoded_color: bool
    prefetch: int
    def __init__(self, *, source: Any = ..., scale: Any = ..., mean_file: Any = ..., batch_size: Any = ..., crop_size: Any = ..., mirror: Any = ..., rand_skip: Any = ..., backend: Any = ..., force_encoded_color: Any = ..., prefetch: Any = ...) -> None: ...

class DropoutParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    dropout_ratio: float
    sample_weights_test: bool
    scale_train: bool
    def __init__(self, *, dropout_ratio: Any = ..., sample_weights_test: Any = ..., scale_train: Any = ...) -> None: ...

class DummyDataParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    data_filler: _Messages[FillerParameter]
    num: list[int]
    channels: list[int]
    height: list[int]
    width: list[int]
    shape: _Messages[BlobShape]
    def __init__(self, *, data_filler: Any = ..., num: Any = ..., channels: Any = ..., height: Any = ..., width: Any = ..., shape: Any = ...) -> None: ...

class ELUParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    alpha: float
    def __init__(self, *, alpha: Any = ...) -> None: ...

class EltwiseParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    EltwiseOp: ClassVar[EnumTypeWrapper]
    PROD: ClassVar[int]
    SUM: ClassVar[int]
    MAX: ClassVar[int]
    operation: int
    coeff: list[float]
    stable_prod_grad: bool
    def __init__(self, *, operation: Any = ..., coeff: Any = ..., stable_prod_grad: Any = ...) -> None: ...

class EmbedParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    num_output: int
    input_dim: int
    bias_term: bool
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    def __init__(self, *, num_output: Any = ..., input_dim: Any = ..., bias_term: Any = ..., weight_filler: Any = ..., bias_filler: Any = ...) -> None: ...

class ExpParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    base: float
    scale: float
    shift: float
    def __init__(self, *, base: Any = ..., scale: Any = ..., shift: Any = ...) -> None: ...

class FlattenParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    axis: int
    end_axis: int
    def __init__(self, *, axis: Any = ..., end_axis: Any = ...) -> None: ...

class HDF5DataParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    source: str
    batch_size: int
    shuffle: bool
    def __init__(self, *, source: Any = ..., batch_size: Any = ..., shuffle: Any = ...) -> None: ...

class HDF5OutputParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    file_name: str
    def __init__(self, *, file_name: Any = ...) -> None: ...

class HingeLossParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Norm: ClassVar[EnumTypeWrapper]
    L1: ClassVar[int]
    L2: ClassVar[int]
    norm: int
    def __init__(self, *, norm: Any = ...) -> None: ...

class ImageDataParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    LabelType: ClassVar[EnumTypeWrapper]
    NONE: ClassVar[int]
    IMAGE: ClassVar[int]
    PIXEL: ClassVar[int]
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    is_color: bool
    root_folder: str
    has_label: bool
    max_labels: int
    ignore_label: int
    label_type: int
    def __init__(self, *, source: Any = ..., scale: Any = ..., mean_file: Any = ..., batch_size: Any = ..., crop_size: Any = ..., mirror: Any = ..., rand_skip: Any = ..., shuffle: Any = ..., new_height: Any = ..., new_width: Any = ..., is_color: Any = ..., root_folder: Any = ..., has_label: Any = ..., max_labels: Any = ..., ignore_label: Any = ..., label_type: Any = ...) -> None: ...

class InfogainLossParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    source: str
    axis: int
    def __init__(self, *, source: Any = ..., axis: Any = ...) -> None: ...

class InnerProductParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    num_output: int
    bias_term: bool
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    axis: int
    transpose: bool
    def __init__(self, *, num_output: Any = ..., bias_term: Any = ..., weight_filler: Any = ..., bias_filler: Any = ..., axis: Any = ..., transpose: Any = ...) -> None: ...

class InputParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    shape: _Messages[BlobShape]
    def __init__(self, *, shape: Any = ...) -> None: ...

class LRNParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    NormRegion: ClassVar[EnumTypeWrapper]
    ACROSS_CHANNELS: ClassVar[int]
    WITHIN_CHANNEL: ClassVar[int]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    local_size: int
    alpha: float
    beta: float
    norm_region: int
    k: float
    engine: int
    def __init__(self, *, local_size: Any = ..., alpha: Any = ..., beta: Any = ..., norm_region: Any = ..., k: Any = ..., engine: Any = ...) -> None: ...

class LogParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    base: float
    scale: float
    shift: float
    def __init__(self, *, base: Any = ..., scale: Any = ..., shift: Any = ...) -> None: ...

class MVNParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    normalize_variance: bool
    across_channels: bool
    eps: float
    def __init__(self, *, normalize_variance: Any = ..., across_channels: Any = ..., eps: Any = ...) -> None: ...

class MemoryDataParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    batch_size: int
    channels: int
    height: int
    width: int
    def __init__(self, *, batch_size: Any = ..., channels: Any = ..., height: Any = ..., width: Any = ...) -> None: ...

class PReLUParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    filler: FillerParameter
    channel_shared: bool
    def __init__(self, *, filler: Any = ..., channel_shared: Any = ...) -> None: ...

class ParameterParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    shape: BlobShape
    def __init__(self, *, shape: Any = ...) -> None: ...

class PoolingParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    PoolMethod: ClassVar[EnumTypeWrapper]
    MAX: ClassVar[int]
    AVE: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    RoundMode: ClassVar[EnumTypeWrapper]
    CEIL: ClassVar[int]
    FLOOR: ClassVar[int]
    pool: int
    kernel_size: int
    stride: int
    pad: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    engine: int
    global_pooling: bool
    round_mode: int
    ceil_mode: bool
    def __init__(self, *, pool: Any = ..., kernel_size: Any = ..., stride: Any = ..., pad: Any = ..., kernel_h: Any = ..., kernel_w: Any = ..., stride_h: Any = ..., stride_w: Any = ..., pad_h: Any = ..., pad_w: Any = ..., engine: Any = ..., global_pooling: Any = ..., round_mode: Any = ..., ceil_mode: Any = ...) -> None: ...

class PowerParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    power: float
    scale: float
    shift: float
    def __init__(self, *, power: Any = ..., scale: Any = ..., shift: Any = ...) -> None: ...

class PythonParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    module: str
    layer: str
    param_str: str
    share_in_parallel: bool
    def __init__(self, *, module: Any = ..., layer: Any = ..., param_str: Any = ..., share_in_parallel: Any = ...) -> None: ...

class ReLUParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    negative_slope: float
    engine: int
    def __init__(self, *, negative_slope: Any = ..., engine: Any = ...) -> None: ...

class RecurrentParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    num_output: int
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    debug_info: bool
    expose_hidden: bool
    def __init__(self, *, num_output: Any = ..., weight_filler: Any = ..., bias_filler: Any = ..., debug_info: Any = ..., expose_hidden: Any = ...) -> None: ...

class ReductionParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    ReductionOp: ClassVar[EnumTypeWrapper]
    SUM: ClassVar[int]
    ASUM: ClassVar[int]
    SUMSQ: ClassVar[int]
    MEAN: ClassVar[int]
    operation: int
    axis: int
    coeff: float
    def __init__(self, *, operation: Any = ..., axis: Any = ..., coeff: Any = ...) -> None: ...

class ReshapeParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    shape: BlobShape
    axis: int
    num_axes: int
    def __init__(self, *, shape: Any = ..., axis: Any = ..., num_axes: Any = ...) -> None: ...

class SPPParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    PoolMethod: ClassVar[EnumTypeWrapper]
    MAX: ClassVar[int]
    AVE: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    pyramid_height: int
    pool: int
    engine: int
    def __init__(self, *, pyramid_height: Any = ..., pool: Any = ..., engine: Any = ...) -> None: ...

class ScaleParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    axis: int
    num_axes: int
    filler: FillerParameter
    bias_term: bool
    bias_filler: FillerParameter
    def __init__(self, *, axis: Any = ..., num_axes: Any = ..., filler: Any = ..., bias_term: Any = ..., bias_filler: Any = ...) -> None: ...

class SigmoidParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    engine: int
    def __init__(self, *, engine: Any = ...) -> None: ...

class SliceParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    slice_dim: int
    slice_point: list[int]
    axis: int
    def __init__(self, *, slice_dim: Any = ..., slice_point: Any = ..., axis: Any = ...) -> None: ...

class SoftmaxParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    engine: int
    axis: int
    def __init__(self, *, engine: Any = ..., axis: Any = ...) -> None: ...

class SwishParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    beta: float
    def __init__(self, *, beta: Any = ...) -> None: ...

class TanHParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    engine: int
    def __init__(self, *, engine: Any = ...) -> None: ...

class ThresholdParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    threshold: float
    def __init__(self, *, threshold: Any = ...) -> None: ...

class TileParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    axis: int
    tiles: int
    def __init__(self, *, axis: Any = ..., tiles: Any = ...) -> None: ...

class WindowDataParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    fg_threshold: float
    bg_threshold: float
    fg_fraction: float
    context_pad: int
    crop_mode: str
    cache_images: bool
    root_folder: str
    def __init__(self, *, source: Any = ..., scale: Any = ..., mean_file: Any = ..., batch_size: Any = ..., crop_size: Any = ..., mirror: Any = ..., fg_threshold: Any = ..., bg_threshold: Any = ..., fg_fraction: Any = ..., context_pad: Any = ..., crop_mode: Any = ..., cache_images: Any = ..., root_folder: Any = ...) -> None: ...

class V1LayerParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    LayerType: ClassVar[EnumTypeWrapper]
    NONE: ClassVar[int]
    ABSVAL: ClassVar[int]
    ACCURACY: ClassVar[int]
    ARGMAX: ClassVar[int]
    BNLL: ClassVar[int]
    CONCAT: ClassVar[int]
    CONTRASTIVE_LOSS: ClassVar[int]
    CONVOLUTION: ClassVar[int]
    DATA: ClassVar[int]
    DECONVOLUTION: ClassVar[int]
    DROPOUT: ClassVar[int]
    DUMMY_DATA: ClassVar[int]
    EUCLIDEAN_LOSS: ClassVar[int]
    ELTWISE: ClassVar[int]
    EXP: ClassVar[int]
    FLATTEN: ClassVar[int]
    HDF5_DATA: ClassVar[int]
    HDF5_OUTPUT: ClassVar[int]
    HINGE_LOSS: ClassVar[int]
    IM2COL: ClassVar[int]
    IMAGE_DATA: ClassVar[int]
    INFOGAIN_LOSS: ClassVar[int]
    INNER_PRODUCT: ClassVar[int]
    LRN: ClassVar[int]
    MEMORY_DATA: ClassVar[int]
    MULTINOMIAL_LOGISTIC_LOSS: ClassVar[int]
    MVN: ClassVar[int]
    POOLING: ClassVar[int]
    POWER: ClassVar[int]
    RELU: ClassVar[int]
    SIGMOID: ClassVar[int]
    SIGMOID_CROSS_ENTROPY_LOSS: ClassVar[int]
    SILENCE: ClassVar[int]
    SOFTMAX: ClassVar[int]
    SOFTMAX_LOSS: ClassVar[int]
    SPLIT: ClassVar[int]
    SLICE: ClassVar[int]
    TANH: ClassVar[int]
    WINDOW_DATA: ClassVar[int]
    THRESHOLD: ClassVar[int]
    BN: ClassVar[int]
    CROP: ClassVar[int]
    DENSE_CRF: ClassVar[int]
    DENSE_IMAGE_DATA: ClassVar[int]
    IMAGE_SEG_DATA: ClassVar[int]
    INTERP: ClassVar[int]
    MULTI_STAGE_MEANFIELD: ClassVar[int]
    NORMALIZE: ClassVar[int]
    PERMUTE: ClassVar[int]
    PRELU: ClassVar[int]
    RELU6: ClassVar[int]
    ROI_POOLING: ClassVar[int]
    SEG_ACCURACY: ClassVar[int]
    SMOOTH_L1_LOSS: ClassVar[int]
    UNPOOLING: ClassVar[int]
    UPSAMPLE: ClassVar[int]
    MAT_WRITE: ClassVar[int]
    PADDING: ClassVar[int]
    ELTWISE_ACCURACY: ClassVar[int]
    WINDOW_SEG_DATA: ClassVar[int]
    DimCheckMode: ClassVar[EnumTypeWrapper]
    STRICT: ClassVar[int]
    PERMISSIVE: ClassVar[int]
    layer: V0LayerParameter
    bottom: list[str]
    top: list[str]
    name: str
    type: int
    blobs: _Messages[BlobProto]
    blobs_lr: list[float]
    weight_decay: list[float]
    concat_param: ConcatParameter
    convolution_param: ConvolutionParameter
    data_param: DataParameter
    dropout_param: DropoutParameter
    hdf5_data_param: HDF5DataParameter
    hdf5_output_param: HDF5OutputParameter
    image_data_param: ImageDataParameter
    infogain_loss_param: InfogainLossParameter
    inner_product_param: InnerProductParameter
    lrn_param: LRNParameter
    pooling_param: PoolingParameter
    window_data_param: WindowDataParameter
    power_param: PowerParameter
    memory_data_param: MemoryDataParameter
    argmax_param: ArgMaxParameter
    eltwise_param: EltwiseParameter
    threshold_param: ThresholdParameter
    dummy_data_param: DummyDataParameter
    accuracy_param: AccuracyParameter
    hinge_loss_param: HingeLossParameter
    relu_param: ReLUParameter
    slice_param: SliceParameter
    include: _Messages[NetStateRule]
    exclude: _Messages[NetStateRule]
    mvn_param: MVNParameter
    loss_weight: list[float]
    transform_param: TransformationParameter
    tanh_param: TanHParameter
    sigmoid_param: SigmoidParameter
    softmax_param: SoftmaxParameter
    contrastive_loss_param: ContrastiveLossParameter
    exp_param: ExpParameter
    loss_param: LossParameter
    param: list[str]
    blob_share_mode: list[int]
    bn_param: BNParameter
    dense_crf_param: DenseCRFParameter
    dense_image_data_param: DenseImageDataParameter
    interp_param: InterpParameter
    multi_stage_meanfield_param: MultiStageMeanfieldParameter
    norm_param: NormalizeParameter
    permute_param: PermuteParameter
    roi_pooling_param: ROIPoolingParameter
    seg_accuracy_param: SegAccuracyParameter
    smooth_l1_loss_param: SmoothL1LossParameter
    softmaxloss_param: SoftmaxLossParameter
    unpooling_param: UnpoolingParameter
    upsample_param: UpsampleParameter
    crop_param: CropParameter
    prelu_param: PReLUParameter
    strict_dim: bool
    mat_write_param: MatWriteParameter
    padding_param: PaddingParameter
    eltwise_accuracy_param: EltwiseAccuracyParameter
    def __init__(self, *, layer: Any = ..., bottom: Any = ..., top: Any = ..., name: Any = ..., type: Any = ..., blobs: Any = ..., blobs_lr: Any = ..., weight_decay: Any = ..., concat_param: Any = ..., convolution_param: Any = ..., data_param: Any = ..., dropout_param: Any = ..., hdf5_data_param: Any = ..., hdf5_output_param: Any = ..., image_data_param: Any = ..., infogain_loss_param: Any = ..., inner_product_param: Any = ..., lrn_param: Any = ..., pooling_param: Any = ..., window_data_param: Any = ..., power_param: Any = ..., memory_data_param: Any = ..., argmax_param: Any = ..., eltwise_param: Any = ..., threshold_param: Any = ..., dummy_data_param: Any = ..., accuracy_param: Any = ..., hinge_loss_param: Any = ..., relu_param: Any = ..., slice_param: Any = ..., include: Any = ..., exclude: Any = ..., mvn_param: Any = ..., loss_weight: Any = ..., transform_param: Any = ..., tanh_param: Any = ..., sigmoid_param: Any = ..., softmax_param: Any = ..., contrastive_loss_param: Any = ..., exp_param: Any = ..., loss_param: Any = ..., param: Any = ..., blob_share_mode: Any = ..., bn_param: Any = ..., dense_crf_param: Any = ..., dense_image_data_param: Any = ..., interp_param: Any = ..., multi_stage_meanfield_param: Any = ..., norm_param: Any = ..., permute_param: Any = ..., roi_pooling_param: Any = ..., seg_accuracy_param: Any = ..., smooth_l1_loss_param: Any = ..., softmaxloss_param: Any = ..., unpooling_param: Any = ..., upsample_param: Any = ..., crop_param: Any = ..., prelu_param: Any = ..., strict_dim: Any = ..., mat_write_param: Any = ..., padding_param: Any = ..., eltwise_accuracy_param: Any = ...) -> None: ...

class V0LayerParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    PoolMethod: ClassVar[EnumTypeWrapper]
    MAX: ClassVar[int]
    AVE: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    name: str
    type: str
    num_output: int
    biasterm: bool
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    pad: int
    kernelsize: int
    group: int
    stride: int
    pool: int
    dropout_ratio: float
    local_size: int
    alpha: float
    beta: float
    source: str
    scale: float
    meanfile: str
    batchsize: int
    cropsize: int
    mirror: bool
    k: float
    blobs: _Messages[BlobProto]
    blobs_lr: list[float]
    weight_decay: list[float]
    rand_skip: int
    det_fg_threshold: float
    det_bg_threshold: float
    det_fg_fraction: float
    det_context_pad: int
    det_crop_mode: str
    new_num: int
    new_channels: int
    new_height: int
    new_width: int
    shuffle_images: bool
    concat_dim: int
    hdf5_output_param: HDF5OutputParameter
    def __init__(self, *, name: Any = ..., type: Any = ..., num_output: Any = ..., biasterm: Any = ..., weight_filler: Any = ..., bias_filler: Any = ..., pad: Any = ..., kernelsize: Any = ..., group: Any = ..., stride: Any = ..., pool: Any = ..., dropout_ratio: Any = ..., local_size: Any = ..., alpha: Any = ..., beta: Any = ..., source: Any = ..., scale: Any = ..., meanfile: Any = ..., batchsize: Any = ..., cropsize: Any = ..., mirror: Any = ..., k: Any = ..., blobs: Any = ..., blobs_lr: Any = ..., weight_decay: Any = ..., rand_skip: Any = ..., det_fg_threshold: Any = ..., det_bg_threshold: Any = ..., det_fg_fraction: Any = ..., det_context_pad: Any = ..., det_crop_mode: Any = ..., new_num: Any = ..., new_channels: Any = ..., new_height: Any = ..., new_width: Any = ..., shuffle_images: Any = ..., concat_dim: Any = ..., hdf5_output_param: Any = ...) -> None: ...

class BNParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    BNMode: ClassVar[EnumTypeWrapper]
    LEARN: ClassVar[int]
    INFERENCE: ClassVar[int]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    slope_filler: FillerParameter
    bias_filler: FillerParameter
    momentum: float
    eps: float
    frozen: bool
    engine: int
    scale_filler: FillerParameter
    shift_filler: FillerParameter
    bn_mode: int
    def __init__(self, *, slope_filler: Any = ..., bias_filler: Any = ..., momentum: Any = ..., eps: Any = ..., frozen: Any = ..., engine: Any = ..., scale_filler: Any = ..., shift_filler: Any = ..., bn_mode: Any = ...) -> None: ...

class DenseCRFParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    max_iter: int
    pos_xy_std: list[float]
    pos_w: list[float]
    bi_xy_std: list[float]
    bi_rgb_std: list[float]
    bi_w: list[float]
    output_probability: bool
    def __init__(self, *, max_iter: Any = ..., pos_xy_std: Any = ..., pos_w: Any = ..., bi_xy_std: Any = ..., bi_rgb_std: Any = ..., bi_w: Any = ..., output_probability: Any = ...) -> None: ...

class DenseImageDataParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    source: str
    batch_size: int
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    is_color: bool
    mean_file: str
    root_folder: str
    mirror: bool
    crop_width: int
    crop_height: int
    label_divide_factor: int
    def __init__(self, *, source: Any = ..., batch_size: Any = ..., rand_skip: Any = ..., shuffle: Any = ..., new_height: Any = ..., new_width: Any = ..., is_color: Any = ..., mean_file: Any = ..., root_folder: Any = ..., mirror: Any = ..., crop_width: Any = ..., crop_height: Any = ..., label_divide_factor: Any = ...) -> None: ...

class DetectionOutputParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    num_classes: int
    share_location: bool
    background_label_id: int
    nms_param: NonMaximumSuppressionParameter
    save_output_param: SaveOutputParameter
    code_type: int
    keep_top_k: int
    variance_encoded_in_target: bool
    confidence_threshold: float
    visualize: bool
    visualize_threshold: float
    save_file: str
    def __init__(self, *, num_classes: Any = ..., share_location: Any = ..., background_label_id: Any = ..., nms_param: Any = ..., save_output_param: Any = ..., code_type: Any = ..., keep_top_k: Any = ..., variance_encoded_in_target: Any = ..., confidence_threshold: Any = ..., visualize: Any = ..., visualize_threshold: Any = ..., save_file: Any = ...) -> None: ...

class NonMaximumSuppressionParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    nms_threshold: float
    top_k: int
    eta: float
    def __init__(self, *, nms_threshold: Any = ..., top_k: Any = ..., eta: Any = ...) -> None: ...

class SaveOutputParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    output_directory: str
    output_name_prefix: str
    output_format: str
    label_map_file: str
    name_size_file: str
    num_test_image: int
    resize_param: ResizeParameter
    def __init__(self, *, output_directory: Any = ..., output_name_prefix: Any = ..., output_format: Any = ..., label_map_file: Any = ..., name_size_file: Any = ..., num_test_image: Any = ..., resize_param: Any = ...) -> None: ...

class ResizeParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Resize_mode: ClassVar[EnumTypeWrapper]
    WARP: ClassVar[int]
    FIT_SMALL_SIZE: ClassVar[int]
    FIT_LARGE_SIZE_AND_PAD: ClassVar[int]
    Pad_mode: ClassVar[EnumTypeWrapper]
    CONSTANT: ClassVar[int]
    MIRRORED: ClassVar[int]
    REPEAT_NEAREST: ClassVar[int]
    Interp_mode: ClassVar[EnumTypeWrapper]
    LINEAR: ClassVar[int]
    AREA: ClassVar[int]
    NEAREST: ClassVar[int]
    CUBIC: ClassVar[int]
    LANCZOS4: ClassVar[int]
    prob: float
    resize_mode: int
    height: int
    width: int
    pad_mode: int
    pad_value: list[float]
    interp_mode: list[int]
    height_scale: int
    width_scale: int
    def __init__(self, *, prob: Any = ..., resize_mode: Any = ..., height: Any = ..., width: Any = ..., pad_mode: Any = ..., pad_value: Any = ..., interp_mode: Any = ..., height_scale: Any = ..., width_scale: Any = ...) -> None: ...

class LabelMap(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    item: _Messages[LabelMapItem]
    def __init__(self, *, item: Any = ...) -> None: ...

class LabelMapItem(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    name: str
    label: int
    display_name: str
    def __init__(self, *, name: Any = ..., label: Any = ..., display_name: Any = ...) -> None: ...

class EltwiseAccuracyParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    top_k: int
    ignore_label: int
    def __init__(self, *, top_k: Any = ..., ignore_label: Any = ...) -> None: ...

class InterpParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    height: int
    width: int
    zoom_factor: int
    shrink_factor: int
    pad_beg: int
    pad_end: int
    use_blob_size: bool
    def __init__(self, *, height: Any = ..., width: Any = ..., zoom_factor: Any = ..., shrink_factor: Any = ..., pad_beg: Any = ..., pad_end: Any = ..., use_blob_size: Any = ...) -> None: ...

class MatWriteParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    prefix: str
    source: str
    strip: int
    period: int
    def __init__(self, *, prefix: Any = ..., source: Any = ..., strip: Any = ..., period: Any = ...) -> None: ...

class PaddingParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    pad_beg: int
    pad_end: int
    def __init__(self, *, pad_beg: Any = ..., pad_end: Any = ...) -> None: ...

class MultiStageMeanfieldParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    Mode: ClassVar[EnumTypeWrapper]
    POTTS: ClassVar[int]
    compatibility_mode: int
    threshold: float
    theta_alpha: float
    theta_beta: float
    theta_gamma: float
    num_iterations: int
    spatial_filter_weight: float
    bilateral_filter_weight: float
    forced_spatial_filter_weight: float
    forced_bilateral_filter_weight: float
    def __init__(self, *, compatibility_mode: Any = ..., threshold: Any = ..., theta_alpha: Any = ..., theta_beta: Any = ..., theta_gamma: Any = ..., num_iterations: Any = ..., spatial_filter_weight: Any = ..., bilateral_filter_weight: Any = ..., forced_spatial_filter_weight: Any = ..., forced_bilateral_filter_weight: Any = ...) -> None: ...

class NormalizeParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    across_spatial: bool
    scale_filler: FillerParameter
    channel_shared: bool
    eps: float
    def __init__(self, *, across_spatial: Any = ..., scale_filler: Any = ..., channel_shared: Any = ..., eps: Any = ...) -> None: ...

class PermuteParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    order: list[int]
    def __init__(self, *, order: Any = ...) -> None: ...

class PriorBoxParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    CodeType: ClassVar[EnumTypeWrapper]
    CORNER: ClassVar[int]
    CENTER_SIZE: ClassVar[int]
    CORNER_SIZE: ClassVar[int]
    min_size: list[float]
    max_size: list[float]
    aspect_ratio: list[float]
    flip: bool
    clip: bool
    variance: list[float]
    img_size: int
    img_h: int
    img_w: int
    step: float
    step_h: float
    step_w: float
    offset: float
    def __init__(self, *, min_size: Any = ..., max_size: Any = ..., aspect_ratio: Any = ..., flip: Any = ..., clip: Any = ..., variance: Any = ..., img_size: Any = ..., img_h: Any = ..., img_w: Any = ..., step: Any = ..., step_h: Any = ..., step_w: Any = ..., offset: Any = ...) -> None: ...

class PSROIPoolingParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    spatial_scale: float
    output_dim: int
    group_size: int
    def __init__(self, *, spatial_scale: Any = ..., output_dim: Any = ..., group_size: Any = ...) -> None: ...

class ROIPoolingParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    pooled_h: int
    pooled_w: int
    spatial_scale: float
    def __init__(self, *, pooled_h: Any = ..., pooled_w: Any = ..., spatial_scale: Any = ...) -> None: ...

class SegAccuracyParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    AccuracyMetric: ClassVar[EnumTypeWrapper]
    PixelAccuracy: ClassVar[int]
    ClassAccuracy: ClassVar[int]
    PixelIOU: ClassVar[int]
    metric: int
    ignore_label: list[int]
    reset: bool
    def __init__(self, *, metric: Any = ..., ignore_label: Any = ..., reset: Any = ...) -> None: ...

class SmoothL1LossParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    sigma: float
    def __init__(self, *, sigma: Any = ...) -> None: ...

class SoftmaxLossParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    weight_source: str
    ignore_label: list[int]
    def __init__(self, *, weight_source: Any = ..., ignore_label: Any = ...) -> None: ...

class UnpoolingParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    UnpoolMethod: ClassVar[EnumTypeWrapper]
    MAX: ClassVar[int]
    AVE: ClassVar[int]
    TILE: ClassVar[int]
    Engine: ClassVar[EnumTypeWrapper]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    unpool: int
    kernel_size: int
    stride: int
    pad: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    engine: int
    unpool_size: int
    unpool_h: int
    unpool_w: int
    def __init__(self, *, unpool: Any = ..., kernel_size: Any = ..., stride: Any = ..., pad: Any = ..., kernel_h: Any = ..., kernel_w: Any = ..., stride_h: Any = ..., stride_w: Any = ..., pad_h: Any = ..., pad_w: Any = ..., engine: Any = ..., unpool_size: Any = ..., unpool_h: Any = ..., unpool_w: Any = ...) -> None: ...

class UpsampleParameter(Message):
    DESCRIPTOR: ClassVar[Descriptor]
    scale: int
    scale_h: int
    scale_w: int
    pad_out_h: bool
    pad_out_w: bool
    upsample_h: int
    upsample_w: int
    def __init__(self, *, scale: Any = ..., scale_h: Any = ..., scale_w: Any = ..., pad_out_h: Any = ..., pad_out_w: Any = ..., upsample_h: Any = ..., upsample_w: Any = ...) -> None: ...
