"""How a layer ends: activation function, output right shift, rounding and range, as the struct ``qw_output``.

The bounds of a clamp are moved behind the rounding: rounding keeps the order of numbers, so a sum that is limited and
then rounded is what the rounded sum limited to the rounded bound is. So a bound is a code of the output, as CMSIS-NN
has it, and a layer whose channels have steps of their own needs no common one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qwidgets.errors import ExportError
from qwidgets.export.c_code.parts import Array, Raw, Value, ends, storage
from qwidgets.formats import MAX_WORD_LENGTH, FixedPoint
from qwidgets.network import CLAMPS, clamp_bounds
from qwidgets.simulation import Codes, Operand, constant, is_number

_FARTHEST = 1 << 62
"""Beyond every code before it is limited to its word."""
_INT64_HOLDS = 61
"""Bits that a sum shifted to the left may have, see ``qw_shift_right``."""
_GATE_FRACTION = 50
"""Fraction bits up to which 3 and 6 can be added to a sum in float64, as the simulation does."""

BOUNDS = CLAMPS | {"threshold"}
ACTIVATIONS = BOUNDS | {"leaky_relu", "prelu", "hardswish", "hardsigmoid", "abs"}


@dataclass(frozen=True)
class OutputStage:
    """What comes after the sums of a layer.

    Attributes
    ----------
    sums
        What is known of the sums.
    given
        What is known of all that is computed before the rounding.
    fmt
        The format of the output.
    activation
        The ATen name of the function that is applied to the sums, "" for none, and its arguments.
    arguments
        By name.
    slopes
        The slopes of a PReLU, None for other functions.
    shifts
        By how many bits the step of each channel's sums is above that of ``sums``; None where it is not.
    """

    sums: Codes
    given: Codes
    fmt: FixedPoint
    activation: str = ""
    arguments: Mapping[str, Any] | None = None
    slopes: Operand | None = None
    shifts: Tensor | None = None

    @property
    def right_shifts(self) -> list[int]:
        """The output right shift: of all channels, or of each."""
        shift = self.fmt.lsb - self.sums.lsb
        return [shift] if self.shifts is None else [shift - int(above) for above in self.shifts]

    @property
    def bounds(self) -> tuple[list[int], list[int]] | None:
        """The least and the largest code that leaves, of all channels or of each; None where nothing bounds them."""
        if self.activation not in BOUNDS:
            return None
        given = self.arguments or {}
        least, most = clamp_bounds(self.activation, given)
        if self.activation == "threshold":
            least = given["threshold"]
        low, high = (self._codes_of(bound) for bound in (least, most))
        lowest, highest = ends(self.fmt) if self.fmt.overflow == "saturate" else (-_FARTHEST, _FARTHEST)
        count = max(len(low or [0]), len(high or [0]))
        return (
            [lowest] * count if low is None else [min(max(code, lowest), highest) for code in low],
            [highest] * count if high is None else [min(max(code, lowest), highest) for code in high],
        )

    def check(self) -> None:
        """Refuse what would overflow the 64 bits in which C computes it, or is not exact in the simulation."""
        left = max(self.given.lsb - self.fmt.lsb, 0)
        bits = self.given.largest.bit_length() + left
        if self.fmt.overflow == "wrap" and bits > (_INT64_HOLDS if self.given.divisor == 1 else 52):
            raise ExportError(f"wraps around sums of {bits} bits, which are too many; let it saturate")
        given = self.arguments or {}
        if self.activation == "threshold" and given["threshold"] != given["value"]:
            raise ExportError("gives another number than its threshold for what is not above it, not written in C")
        finest = -self.sums.lsb
        if self.activation in ("hardswish", "hardsigmoid") and finest > _GATE_FRACTION:
            raise ExportError(f"{self.activation} of sums with {finest} fraction bits is not exact")

    def fields(self, names: "Named", right_shift: Value | None = None) -> dict[str, Value]:
        """Give the struct; ``names`` makes arrays, ``right_shift`` is what the shift or the shifts are called."""
        self.check()
        shifts = self.right_shifts
        fields: dict[str, Value] = {
            "right_shift" if len(shifts) == 1 else "right_shifts": shifts[0] if right_shift is None else right_shift
        }
        fields |= self._activation(names)
        bounds = self.bounds
        if bounds is None and self.fmt.overflow == "wrap":
            fields |= {"least": Raw("INT64_MIN"), "most": Raw("INT64_MAX")}
        else:
            low, high = ([end] for end in ends(self.fmt)) if bounds is None else bounds
            for field, codes, about in (("least", low, "least"), ("most", high, "largest")):
                if len(set(codes)) == 1:
                    fields[field] = codes[0]
                else:
                    fields[f"{field}s"] = names.array(field, "int64_t", codes, f"{about} code of each channel")
        fields["fraction"] = self.fmt.fraction_length
        lowest, highest = ends(self.fmt)
        return fields | {
            "format": {
                "storage": storage(self.fmt),
                "least": lowest,
                "most": highest,
                "rounding": Raw(f"QW_{self.fmt.rounding.upper()}"),
                "overflow": Raw(f"QW_{self.fmt.overflow.upper()}"),
            }
        }

    def _activation(self, names: "Named") -> dict[str, Value]:
        if self.slopes is not None:
            assert self.slopes.integers is not None
            codes = self.slopes.integers.cpu().flatten().tolist()
            fields: dict[str, Value] = {"activation": Raw("QW_LEAKY_RELU"), "slope_fraction": -self.slopes.codes.lsb}
            if len(codes) == 1:
                return fields | {"slope": codes[0]}
            return fields | {"slopes": names.array("slope", "int64_t", codes, "slope of each channel")}
        if self.activation == "leaky_relu":
            assert self.arguments is not None
            factor, lsb = constant(self.arguments["negative_slope"])
            return {"activation": Raw("QW_LEAKY_RELU"), "slope": factor, "slope_fraction": -lsb}
        if self.activation in ("hardswish", "hardsigmoid", "abs"):
            return {"activation": Raw(f"QW_{self.activation.upper()}")}
        return {}

    def _codes_of(self, bound: object) -> list[int] | None:
        """Round a bound to the step of the sums, as the simulation does, and then to that of the output."""
        if bound is None or (isinstance(bound, float) and math.isinf(bound)):
            return None
        if isinstance(bound, Tensor):
            steps = FixedPoint(MAX_WORD_LENGTH, -self.sums.lsb).to_integer(bound.detach().cpu().double().flatten())
            codes = steps.clamp(self.sums.low, self.sums.high).tolist()
        else:
            assert is_number(bound)
            codes = [_rounded(bound, -self.sums.lsb, "half_away")]
        left = self.fmt.fraction_length + self.sums.lsb
        if self.fmt.rounding == "double" and self.shifts is not None:
            codes = codes * len(self.shifts) if len(codes) == 1 else codes
            return [_in_two_steps(code, left, int(above)) for code, above in zip(codes, self.shifts, strict=True)]
        return [_rounded(code, left, self.fmt.rounding) for code in codes]


class Named:
    """Makes the arrays of one layer, with names that begin as the layer's does."""

    def __init__(self, name: Any, row: str) -> None:
        self._name = name
        self._row = row
        self.arrays: list[Array] = []

    def array(self, what: str, ctype: str, values: Sequence[int] | Tensor, about: str) -> Raw:
        """Add an array, and give its name."""
        made = values if isinstance(values, Tensor) else torch.tensor(list(values), dtype=torch.int64)
        name: str = self._name(f"{self._row}.{what}")
        self.arrays.append(Array(name, ctype, made, about))
        return Raw(name)


def _rounded(number: float, left: int, rounding: str) -> int:
    """Give ``number * 2**left`` as a whole number, by integer arithmetic."""
    above, below = number.as_integer_ratio()
    above, below = (above << left, below) if left >= 0 else (above, below << -left)
    return rounded_quotient(above, below, rounding)


def rounded_once(rounding: str) -> str:
    """Give the rounding of what is no sum, such as a bias, whose format may say that sums are rounded in two steps."""
    return "half_away" if rounding == "double" else rounding


def _in_two_steps(code: int, left: int, above: int) -> int:
    """Round a bound as a sum in steps that are ``above`` bits coarser; between two of these it is rounded once."""
    if code % (1 << above):
        return _rounded(code, left, "half_away")
    return _rounded(code >> above, left + above, "double")


def rounded_quotient(above: int, below: int, rounding: str) -> int:
    """Give a quotient of integers rounded in one of the ways that a format can.

    Examples
    --------
    >>> [rounded_quotient(-5, 2, rounding) for rounding in ("half_away", "half_even", "half_up", "zero")]
    [-3, -2, -2, -2]
    """
    whole, rest = divmod(above, below)
    half = 2 * rest - below
    up = {
        "half_away": half > 0 or (half == 0 and above > 0),
        "half_even": half > 0 or (half == 0 and whole % 2 == 1),
        "half_up": half >= 0,
        "floor": False,
        "ceil": rest > 0,
        "zero": rest > 0 and above < 0,
        "double": half >= 0 if below <= 2 else half > 0 or (half >= -2 and above > 0),  # of a sum by a power of two
    }
    return whole + up[rounding]
