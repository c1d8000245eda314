"""The targets that are known, by name, each with the source of what is said of it."""

import dataclasses
import difflib
from types import MappingProxyType

from qwidgets.errors import PlanError
from qwidgets.formats import MAX_WORD_LENGTH, OVERFLOWS, ROUNDINGS
from qwidgets.network import CLAMPS
from qwidgets.simulation import RULES
from qwidgets.targets.target import Target

_POOLS = frozenset(["adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d"])
_JOINS = frozenset(["cat", "concat", "concatenate"])
_MATRIX_PRODUCTS = frozenset(["bmm", "matmul", "mm"])

INTEGER = Target(
    name="integer",
    title="integer hardware",
    source="qwidgets.quantize: whatever it computes on integers",
    activation_bits=frozenset(range(1, MAX_WORD_LENGTH + 1)),
    weight_bits=frozenset(range(1, MAX_WORD_LENGTH + 1)),
    unsigned=True,
    roundings=ROUNDINGS,
    overflows=OVERFLOWS,
    rounds_weights=True,
    per_channel=MappingProxyType({"conv1d": 32, "conv2d": 32, "conv3d": 32, "linear": 32}),
    wider_weights=True,
    mixes_words=True,
    shared=frozenset(),
    bias="any",
    bias_bits=MappingProxyType({8: 32, 16: 32, 32: 32}),
    shifts=None,
    floats=False,
    operations=frozenset(RULES),
)
"""Hardware of one's own: every format that there is, every operation that has an integer form, and nothing in float."""

ONNX_RUNTIME = Target(
    name="onnxruntime",
    title="ONNX Runtime",
    source=(
        "ONNX operators QuantizeLinear and DequantizeLinear, https://onnx.ai/onnx/operators: ties to even, saturation, "
        "an axis for one scale per channel, int8 and uint8, int16 and uint16 from opset 21; int32 for a bias"
    ),
    activation_bits=frozenset(range(1, 17)),
    weight_bits=frozenset(range(1, 17)),
    unsigned=True,
    roundings=("half_even",),
    overflows=("saturate",),
    rounds_weights=False,
    per_channel=MappingProxyType({"conv1d": 16, "conv2d": 16, "conv3d": 16, "linear": 16}),
    wider_weights=True,
    mixes_words=True,
    shared=frozenset(),
    bias="aligned",
    bias_bits=MappingProxyType({8: 32, 16: 32}),
    shifts=None,
    floats=True,
    operations=None,
)
"""A model of QuantizeLinear and DequantizeLinear pairs; a word shorter than its storage is clipped.

On x86 processors without VNNI its sums are right with the session option ``session.x64quantprecision`` = ``"1"``.
"""

ONNX_RUNTIME_AVX2 = dataclasses.replace(
    ONNX_RUNTIME,
    name="onnxruntime_avx2",
    title="ONNX Runtime on x86 without VNNI",
    source=(
        f"{ONNX_RUNTIME.source}; 'Why do I see high accuracy loss' and 'when to use reduce-range', "
        "https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html: VPMADDUBSW saturates"
    ),
    pair_bits=16,
)
"""As ONNX Runtime where nobody can set its session option: 8-bit layers add two products at a time in 16 bits."""

HLS4ML = Target(
    name="hls4ml",
    title="hls4ml",
    source=(
        "hls4ml 1.3.0, hls4ml/converters/pytorch_to_hls.py for the layers; the modes of ap_fixed, Vitis HLS user guide "
        "UG1399, 'Arbitrary Precision Fixed-Point Data Types': AP_RND_INF, AP_RND_CONV, AP_RND, AP_TRN, AP_TRN_ZERO, "
        "AP_SAT, AP_WRAP; none rounds up always"
    ),
    activation_bits=frozenset(range(1, MAX_WORD_LENGTH + 1)),
    weight_bits=frozenset(range(1, MAX_WORD_LENGTH + 1)),
    unsigned=True,
    roundings=("half_away", "half_even", "half_up", "floor", "zero"),
    overflows=("saturate", "wrap"),
    rounds_weights=False,
    per_channel=MappingProxyType({}),
    wider_weights=True,
    mixes_words=True,
    shared=frozenset(),
    bias="any",
    bias_bits=MappingProxyType({8: 32, 16: 32, 32: 32}),
    shifts=None,
    floats=False,
    operations=CLAMPS
    | _POOLS
    | _JOINS
    | {"add", "batch_norm", "conv1d", "conv2d", "leaky_relu", "linear", "mean", "mul", "prelu", "sub"},
)
"""One ``ap_fixed`` or ``ap_ufixed`` for each tensor, of any width.

Clamps can be put together of its ReLU and shifts, averages over all places of its average pooling. Its tables for
softmax, sigmoid and tanh give other integers than a float function between two formats, so these do not count.
"""

CMSIS_NN = Target(
    name="cmsis_nn",
    title="CMSIS-NN",
    source=(
        "ARM-software/CMSIS-NN 7.0: README.md (the int8 and int16 specification of TensorFlow Lite for "
        "Microcontrollers: signed, symmetric int8 weights; table of operators); Include/arm_nnfunctions.h "
        "(cmsis_nn_per_channel_quant_params of convolutions and of arm_fully_connected_per_channel_s8, activation_min "
        "and activation_max, int32 bias); Include/arm_nnsupportfunctions.h (arm_nn_requantize: shift -31 to 30, "
        "arm_nn_requantize_s64: shift -31 to 7)"
    ),
    activation_bits=frozenset(range(2, 17)),
    weight_bits=frozenset(range(2, 9)),
    unsigned=False,
    roundings=("half_up",),
    overflows=("saturate",),
    rounds_weights=False,
    per_channel=MappingProxyType({"conv1d": 16, "conv2d": 16, "linear": 8}),
    wider_weights=True,
    mixes_words=False,
    shared=frozenset(),
    bias="aligned",
    bias_bits=MappingProxyType({8: 32, 16: 32}),
    shifts=(-6, 31),
    floats=False,
    operations=_JOINS
    | CLAMPS
    | _MATRIX_PRODUCTS
    | _POOLS
    | {"add", "conv1d", "conv2d", "conv_transpose2d", "linear", "mul"},
)
"""int8 or int16 activations, int8 weights, each layer's sums brought to the output by a multiplier and a shift.

A shift right by k is exact with ties going up, rounded once, as multiplier ``2**(31 - k)`` and shift 0; with
``CMSIS_NN_USE_SINGLE_ROUNDING`` and for int16 outputs also as multiplier ``2**30`` and shift ``1 - k``, which in the
default build rounds twice for int8: a half up, then a half away from zero. The shifts are those that both widths take.
Averages are rounded by the kernel, a half away from zero.
"""

_ESP_OPERATIONS = (
    _JOINS
    | CLAMPS
    | _MATRIX_PRODUCTS
    | _POOLS
    | {"add", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "div", "hardsigmoid", "hardswish"}
    | {"leaky_relu", "linear", "mean", "mul", "neg", "prelu", "sub", "sum"}
)
_ESP_SOURCE = (
    "https://docs.espressif.com/projects/esp-dl/en/latest/tutorials/how_to_quantize_model.html (symmetric, power of "
    "two, 8 and 16 bits, rounding); esp-ppq 1.3.12, esp_ppq/quantization/quantizer/EspdlQuantizer.py (granularity, "
    "rounding, bits of a bias, operations, activation_fusion_types), esp_ppq/api/setting.py (align_elementwise_to, "
    "align_concat_to)"
)

ESP32_S3 = Target(
    name="esp32s3",
    title="ESP-DL on the ESP32-S3",
    source=_ESP_SOURCE,
    activation_bits=frozenset([8, 16]),
    weight_bits=frozenset([8, 16]),
    unsigned=False,
    roundings=("half_up",),
    overflows=("saturate",),
    rounds_weights=True,
    per_channel=MappingProxyType({}),
    wider_weights=False,
    mixes_words=True,
    shared=_JOINS | {"add", "sub"},
    bias="accumulator",
    bias_bits=MappingProxyType({8: 20, 16: 40}),
    shifts=None,
    floats=False,
    operations=_ESP_OPERATIONS,
    fuses=CLAMPS,
)
"""One exponent for each tensor; ESP-PPQ rounds the weights itself, and gives the operands of a sum the exponent of the
result. An int8 layer sums in 20 bits. What leaves a layer is rounded before any activation function but a ReLU or a
clamp."""

ESP32_P4 = dataclasses.replace(
    ESP32_S3,
    name="esp32p4",
    title="ESP-DL on the ESP32-P4",
    roundings=("half_even",),
    per_channel=MappingProxyType({"conv1d": 16, "conv2d": 16, "linear": 16}),
    bias_bits=MappingProxyType({8: 32, 16: 40}),
)
"""As the ESP32-S3, with ties to even, and an exponent for each output channel of a convolution or a linear layer."""

_TFLITE_SOURCE = (
    "https://ai.google.dev/edge/litert/models/quantization_spec (int8 activations, signed int8 weights, an axis of "
    "scales, int32 bias); the roundings as measured: qwidgets.export.to_tflite, tests/export/test_tflite_kernels.py"
)
_ALONE = CLAMPS | _JOINS
"""What TFLite rescales by a QUANTIZE beside it."""

TFLITE = Target(
    name="tflite",
    title="LiteRT",
    source=_TFLITE_SOURCE,
    activation_bits=frozenset(range(2, 9)),
    weight_bits=frozenset(range(2, 9)),
    unsigned=True,
    roundings=("half_even",),
    overflows=("saturate",),
    rounds_weights=False,
    per_channel=MappingProxyType({"conv1d": 8, "conv2d": 8, "linear": 8}),
    wider_weights=True,
    mixes_words=True,
    shared=frozenset(["avg_pool1d", "avg_pool2d"]),
    bias="aligned",
    bias_bits=MappingProxyType({8: 32}),
    shifts=(-7, 31),
    floats=False,
    operations=_JOINS | CLAMPS | _POOLS | {"add", "conv1d", "conv2d", "linear", "mean", "mul", "rsub", "sub"},
    fuses=CLAMPS,
    roundings_of=MappingProxyType(
        {"input": ROUNDINGS}
        | dict.fromkeys(["add", "sub", "rsub", *_ALONE], ("half_up",))
        | dict.fromkeys(["avg_pool1d", "avg_pool2d"], ("half_away",))
    ),
    unsigned_weights=False,
    signed_only=frozenset(["avg_pool1d", "avg_pool2d"]),
)
"""A ``.tflite`` of bytes in LiteRT's default kernels, which are XNNPACK's: each operation has a rounding of its own.

A shorter word is limited by operators of its own. What enters is coded by the caller, as its format says.
"""

TFLITE_MICRO = dataclasses.replace(
    TFLITE,
    name="tflite_micro",
    title="TFLite Micro",
    roundings=("double",),
    shared=_POOLS | {"mean"},
    signed_only=_POOLS | {"mean"},
    roundings_of=MappingProxyType(
        {"input": ROUNDINGS} | dict.fromkeys(["add", "sub", "rsub", "mean", *_POOLS], ("half_away",))
    ),
)
"""The same file in the reference kernels of TFLite Micro, which rescale in two steps, as those of CMSIS-NN do."""

TARGETS: dict[str, Target] = {}
"""The targets that are known, by name."""


def register_target(target: Target) -> Target:
    """Make a target known under its name, for proposals, checks and menus.

    Raises
    ------
    PlanError
        There is another one of that name.
    """
    if TARGETS.setdefault(target.name, target) is not target:
        raise PlanError(f"there is a target {target.name!r} already; give this one another name")
    return target


for _known in (INTEGER, ONNX_RUNTIME, ONNX_RUNTIME_AVX2, HLS4ML, CMSIS_NN, TFLITE, TFLITE_MICRO, ESP32_S3, ESP32_P4):
    register_target(_known)


def find(target: str | Target) -> Target:
    """Give the target of a name.

    Raises
    ------
    PlanError
        There is none; the text suggests one.

    Examples
    --------
    >>> find("esp32p4").roundings
    ('half_even',)
    """
    if isinstance(target, Target):
        return target
    if target in TARGETS:
        return TARGETS[target]
    close = difflib.get_close_matches(str(target), TARGETS, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise PlanError(f"there is no target {target!r}{hint}; known are {', '.join(TARGETS)}")
