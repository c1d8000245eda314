"""The two ways in which an ONNX graph says that a tensor has an integer format.

Both keep the graph in float and put what quantizes beside each tensor: `QDQ` a pair of QuantizeLinear and
DequantizeLinear, `Quant` a node of the QONNX operators. A dialect also says what it cannot express.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from qwidgets.export.aligned_bias import Constant
from qwidgets.export.onnx_model.graph import Array, Graph
from qwidgets.formats import FixedPoint
from qwidgets.simulation import Codes

LOWEST_STEP, HIGHEST_STEP = -126, 126
"""The powers of two that a float32 scale can be, none of them subnormal."""


class Dialect(Protocol):
    """How formats are written."""

    @property
    def roundings(self) -> frozenset[str]:
        """Those that the nodes carry out; others only where nothing is ever rounded."""
        ...

    def longest(self, kind: str) -> int:
        """Give the longest word that a tensor of a kind of row can have."""
        ...

    def opset(self, word_lengths: Sequence[int]) -> int:
        """Give the operator set that quantizes words of these lengths."""
        ...

    def why_inexact(self, before: Codes | None, fmt: FixedPoint) -> str:
        """Say why rounding may give other codes, where all that it is given is exact; an empty text where it cannot."""
        ...

    def quantized(self, graph: Graph, raw: str, name: str, fmt: FixedPoint, rounding: str, within: bool) -> str:
        """Round a tensor to a format, and give its values; ``within`` says that none lies outside the range."""
        ...

    def constant(self, graph: Graph, name: str, constant: Constant) -> str:
        """Add a constant that has codes, and give its values."""
        ...


class QDQ:
    """QuantizeLinear and DequantizeLinear, with power-of-two scales and zero point 0."""

    roundings = frozenset({"half_even"})

    def longest(self, kind: str) -> int:
        """16 bits, and 32 for what is only ever read: a bias."""
        return 32 if kind == "bias" else 16

    def opset(self, word_lengths: Sequence[int]) -> int:
        """13 is the first with scales per channel; 21 the first with 16 bits."""
        return 21 if any(8 < length <= 16 for length in word_lengths) else 13

    def why_inexact(self, before: Codes | None, fmt: FixedPoint) -> str:
        """A runtime scales by a power of two and rounds to nearest: both are exact."""
        return ""

    def quantized(self, graph: Graph, raw: str, name: str, fmt: FixedPoint, rounding: str, within: bool) -> str:
        """Clip where the word is shorter than its storage, quantize, dequantize."""
        if fmt.word_length not in (8, 16) and not within:
            bounds = [
                graph.constant(f"{name}:{end}", np.array(value, np.float32))
                for end, value in (("min", fmt.min), ("max", fmt.max))
            ]
            raw = graph.add("Clip", [raw, *bounds], f"{name}:clip")
        scale = graph.constant(f"{name}:scale", np.array(fmt.step, np.float32))
        zero = graph.constant(f"{name}:zero_point", np.zeros((), _storage(fmt.word_length, fmt.signed)))
        codes = graph.add("QuantizeLinear", [raw, scale, zero], f"{name}:codes")
        return graph.add("DequantizeLinear", [codes, scale, zero], name)

    def constant(self, graph: Graph, name: str, constant: Constant) -> str:
        """Store the codes, and dequantize them."""
        storage = _storage(constant.word_length, constant.signed)
        if constant.word_length > 16:
            storage = np.dtype(np.int32)
        codes = graph.constant(f"{name}:codes", constant.codes.astype(storage))
        scale = graph.constant(f"{name}:scale", constant.scale)
        zero = graph.constant(f"{name}:zero_point", np.zeros(constant.scale.shape, storage))
        attributes: dict[str, Any] = {"axis": constant.axis} if constant.per_channel else {}
        return graph.add("DequantizeLinear", [codes, scale, zero], name, **attributes)


class Quant:
    """The ``Quant`` node of QONNX: scale, zero point, bit width, sign and rounding mode of any word."""

    modes: ClassVar[dict[str, str]] = {
        "half_even": "ROUND",
        "half_away": "HALF_UP",  # of the magnitude
        "floor": "FLOOR",
        "ceil": "CEIL",
        "zero": "DOWN",
    }
    roundings = frozenset(modes)
    domain = "qonnx.custom_op.general"

    def longest(self, kind: str) -> int:
        """What a format can have, but that a tensor is still float32."""
        return 32 if kind == "bias" else 24

    def opset(self, word_lengths: Sequence[int]) -> int:
        """The same for all, since the node is not of the standard."""
        return 13

    def why_inexact(self, before: Codes | None, fmt: FixedPoint) -> str:
        """Rounding ties away from zero adds one half in float32, which must have a place for it."""
        if fmt.rounding != "half_away":
            return ""
        if before is not None and before.divisor & (before.divisor - 1) == 0:
            finer = fmt.lsb - before.lsb + before.divisor.bit_length() - 1
            clipped = min(before.largest, 1 << (fmt.word_length + max(finer, 0)))
            if finer <= 0 or clipped + (1 << (finer - 1)) <= 1 << 24:
                return ""
        return "HALF_UP adds one half in float32, so that a value less than 2^-24 of itself below a tie is rounded up"

    def quantized(self, graph: Graph, raw: str, name: str, fmt: FixedPoint, rounding: str, within: bool) -> str:
        """Add one node."""
        scale = np.array(fmt.step, np.float32)
        return self._quant(graph, raw, name, scale, fmt.word_length, fmt.signed, self.modes[rounding])

    def constant(self, graph: Graph, name: str, constant: Constant) -> str:
        """Store the values that the codes stand for; quantizing them gives the codes."""
        values = constant.codes.astype(np.float64) * constant.spread_scale
        raw = graph.constant(f"{name}:raw", values.astype(np.float32))
        return self._quant(graph, raw, name, constant.spread_scale, constant.word_length, constant.signed, "ROUND")

    def _quant(self, graph: Graph, raw: str, name: str, scale: Array, bits: int, signed: bool, mode: str) -> str:
        inputs = [
            raw,
            graph.constant(f"{name}:scale", scale),
            graph.constant(f"{name}:zero_point", np.zeros((), np.float32)),
            graph.constant(f"{name}:bit_width", np.array(bits, np.float32)),
        ]
        return graph.add("Quant", inputs, name, domain=self.domain, signed=int(signed), narrow=0, rounding_mode=mode)


def _storage(word_length: int, signed: bool) -> np.dtype[np.signedinteger | np.unsignedinteger]:
    return np.dtype(f"{'' if signed else 'u'}int{8 if word_length <= 8 else 16}")
