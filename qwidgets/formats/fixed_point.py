"""One fixed-point number format: its range, what it makes of numbers, and its notations.

A `FixedPoint` is a value: it never changes, and it can be compared, hashed and used as a key. It depends on NumPy and
torch, never moves data to another device, and gives exact results: what a real number that is exactly the one
given would become.
"""

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray

from qwidgets.errors import DataError, FormatError
from qwidgets.formats import arithmetic, notations

ROUNDINGS = ("half_away", "half_even", "half_up", "floor", "ceil", "zero", "double")
OVERFLOWS = ("saturate", "wrap")
NOTATIONS = tuple(notations.WRITERS)

MAX_WORD_LENGTH = 32
# Within these the step, the range and the scaling factors are all exact float64 numbers.
MAX_FRACTION_LENGTH = 512


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point number format of ``word_length`` bits with a step of ``2**-fraction_length``.

    Parameters
    ----------
    word_length : int
        All bits, the sign among them: 1 to 32, signed at least 2.
    fraction_length : int
        Bits right of the binary point, -512 to 512; may be negative or larger than the word.
    signed : bool
        Two's complement if true.
    rounding : {"half_away", "half_even", "half_up", "floor", "ceil", "zero", "double"}
        What a value between two steps becomes. The three ``half`` modes take the nearer one and differ in ties: away
        from zero, to the even code, up. The next three go down, up, or toward zero. ``double`` is ``half_away`` for
        numbers, and for the integer sums of a network the two steps in which TFLite Micro and CMSIS-NN rescale them:
        see :mod:`qwidgets.formats.double_rounding`.
    overflow : {"saturate", "wrap"}
        What a rounded value outside the range becomes: the nearer end, or what the lowest ``word_length`` bits of its
        code stand for (its remainder modulo ``2**word_length`` steps).

    Raises
    ------
    FormatError
        A field has a value that makes no sense; the text names the field, what was given, and what is allowed.

    Examples
    --------
    >>> format = FixedPoint.from_window(3, -3)
    >>> format
    FixedPoint(word_length=8, fraction_length=3, signed=True, rounding='half_away', overflow='saturate')
    >>> format.quantize(0.03125), format.quantize(2.1), format.quantize(16.25)
    (0.0, 2.125, 15.875)
    """

    word_length: int = 8
    fraction_length: int = 0
    signed: bool = True
    rounding: str = "half_away"
    overflow: str = "saturate"

    LONGEST: ClassVar[int] = MAX_WORD_LENGTH

    def __post_init__(self) -> None:
        if not isinstance(self.signed, bool | np.bool_):
            raise FormatError(f"signed must be True or False, not {self.signed!r}")
        least = 2 if self.signed else 1
        kind = "signed" if self.signed else "unsigned"
        _require_integer("word_length", self.word_length, least, self.LONGEST, f" for a {kind} format")
        _require_integer("fraction_length", self.fraction_length, -MAX_FRACTION_LENGTH, MAX_FRACTION_LENGTH)
        for name, value, allowed in (("rounding", self.rounding, ROUNDINGS), ("overflow", self.overflow, OVERFLOWS)):
            if not isinstance(value, str) or value not in allowed:
                raise FormatError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
        # NumPy's own integers compare and hash alike but do not write themselves to JSON.
        object.__setattr__(self, "word_length", int(self.word_length))
        object.__setattr__(self, "fraction_length", int(self.fraction_length))
        object.__setattr__(self, "signed", bool(self.signed))

    @classmethod
    def from_window(
        cls, msb: int, lsb: int, signed: bool = True, rounding: str = "half_away", overflow: str = "saturate"
    ) -> Self:
        """Make the format that keeps the magnitude bits ``2**msb`` down to ``2**lsb``.

        Raises
        ------
        FormatError
            The window holds no bit or more than a word does.

        Examples
        --------
        >>> FixedPoint.from_window(0, -7, signed=False).word_length
        8
        """
        widest = MAX_WORD_LENGTH - bool(signed)
        _require_integer("lsb", lsb, -MAX_FRACTION_LENGTH, MAX_FRACTION_LENGTH)
        _require_integer("msb", msb, lsb, lsb + widest - 1, f" for lsb {lsb}")
        return cls(int(msb) - int(lsb) + 1 + bool(signed), -int(lsb), signed, rounding, overflow)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a format from text in any of the notations, or from a window.

        Understood are ``numerictype(1,8,3)`` and ``fixdt(1,8,3)`` (signed, word length, fraction length);
        ``ap_fixed<8,5,AP_RND_INF,AP_SAT>`` and ``ap_ufixed<...>`` (word length, integer bits with the sign bit among
        them; when left out, ``AP_TRN`` and ``AP_WRAP``, as in HLS); ``Q4.3`` and ``UQ4.4`` (the sign bit counted
        apart); ``sfix8_En3``, ``ufix8_E2``, ``sfix8``; and windows: ``2^3 … 2^-3``, ``2^3..2^-4 unsigned``. Spaces and
        case do not matter. Only ``ap_fixed`` says how to round and what overflow does; the others give ``half_away``
        and ``saturate``.

        Raises
        ------
        FormatError
            The text is in none of these, or its format makes no sense.

        Examples
        --------
        >>> FixedPoint.parse("ap_fixed<8,5>")
        FixedPoint(word_length=8, fraction_length=3, signed=True, rounding='floor', overflow='wrap')
        >>> FixedPoint.parse("2^3 … 2^-3") == FixedPoint.parse("Q4.3") == FixedPoint.parse("sfix8_En3")
        True
        """
        fields = notations.read(text)
        try:
            return cls(**{name: value for name, value in fields._asdict().items() if value is not None})
        except FormatError as error:
            raise FormatError(f"cannot read the format {text!r}: {error}") from None

    def notation(self, style: str) -> str:
        """Write the format in one of `NOTATIONS`.

        Only ``"ap_fixed"`` carries rounding and overflow; the other notations drop them.

        Raises
        ------
        FormatError
            There is no such style, or ``ap_fixed`` has no equal of the rounding (it has none of ``ceil``).

        Examples
        --------
        >>> [FixedPoint(8, 3).notation(style) for style in NOTATIONS]
        ['numerictype(1,8,3)', 'fixdt(1,8,3)', 'ap_fixed<8,5,AP_RND_INF,AP_SAT>', 'Q4.3', 'sfix8_En3']
        """
        fields = notations.Fields(self.word_length, self.fraction_length, self.signed, self.rounding, self.overflow)
        return notations.write(fields, style)

    def __str__(self) -> str:
        return self.window if self.signed else f"{self.window} unsigned"

    @property
    def lsb(self) -> int:
        """Position of the least significant bit kept."""
        return -self.fraction_length

    @property
    def msb(self) -> int:
        """Position of the most significant magnitude bit kept."""
        return self.lsb + self.word_length - self.signed - 1

    @property
    def bits(self) -> tuple[int, ...]:
        """Positions of the magnitude bits kept, from the most to the least significant.

        Examples
        --------
        >>> FixedPoint(4, 1).bits
        (1, 0, -1)
        """
        return tuple(range(self.msb, self.lsb - 1, -1))

    @property
    def window(self) -> str:
        """The bit window as text.

        Examples
        --------
        >>> FixedPoint(8, 3).window
        '2^3 … 2^-3'
        """
        return f"2^{self.msb} … 2^{self.lsb}"

    @property
    def step(self) -> float:
        """The distance between two neighbouring values, ``2**lsb``."""
        return math.ldexp(1.0, self.lsb)

    @property
    def min(self) -> float:
        """The smallest value."""
        return self._code_range[0] * self.step

    @property
    def max(self) -> float:
        """The largest value."""
        return self._code_range[1] * self.step

    @property
    def _code_range(self) -> tuple[int, int]:
        least = -(1 << (self.word_length - 1)) if self.signed else 0
        return least, least + (1 << self.word_length) - 1

    @overload
    def quantize(self, x: torch.Tensor) -> torch.Tensor: ...
    @overload
    def quantize(self, x: NDArray[Any]) -> NDArray[Any]: ...
    @overload
    def quantize(self, x: float) -> float: ...
    @overload
    def quantize(self, x: np.generic) -> np.generic: ...
    def quantize(self, x: Any) -> Any:
        """Give the value of the format that stands for each value of ``x``.

        Parameters
        ----------
        x : int, float, NumPy array or scalar, or torch.Tensor
            Of any shape, any integer or floating type, and, for tensors, on any device.

        Returns
        -------
        same kind, shape, device and floating type as ``x``
            Integers give float64 (a Python int a float), since a step may be a fraction. Where the floating type of
            ``x`` cannot hold the exact result (an end of a 16-bit range in bfloat16), it is the next value of the
            format toward zero that the type holds; so the result always is a value of the format. NaN stays NaN;
            infinities saturate, and with ``overflow="wrap"``, where they have no remainder, become NaN. There is no
            negative zero. The result of a tensor is detached: gradients do not flow through it.

        Raises
        ------
        DataError
            ``x`` is none of these, or holds unsigned 64-bit integers of 2**63 and above.

        Examples
        --------
        >>> FixedPoint(8, 3).quantize(np.array([-0.0625, 2.1, np.inf, np.nan], np.float32))
        array([-0.125,  2.125, 15.875,    nan], dtype=float32)
        """
        xp, codes = self._codes(x)
        codes *= self.step
        if isinstance(x, torch.Tensor):
            dtype: Any = x.dtype if x.is_floating_point() else torch.float64
        else:
            given = np.asarray(x).dtype
            dtype = given.newbyteorder("=") if given.kind == "f" else np.dtype(np.float64)
        return arithmetic.in_kind_of(x, self._in_type(xp, codes, dtype))

    @overload
    def to_integer(self, x: torch.Tensor) -> torch.Tensor: ...
    @overload
    def to_integer(self, x: NDArray[Any]) -> NDArray[np.int64]: ...
    @overload
    def to_integer(self, x: float) -> int: ...
    @overload
    def to_integer(self, x: np.generic) -> np.int64: ...
    def to_integer(self, x: Any) -> Any:
        """Give the integer code of each value of ``x``: its quantized value counted in steps.

        Parameters
        ----------
        x : int, float, NumPy array or scalar, or torch.Tensor
            As in `quantize`.

        Returns
        -------
        int, or an int64 array, scalar or tensor of the same shape, on the same device

        Raises
        ------
        DataError
            As in `quantize`, and where no integer stands for a value: NaN, or an infinity with ``overflow="wrap"``.

        Examples
        --------
        >>> FixedPoint(8, 3).to_integer(2.1)
        17
        """
        xp, codes = self._codes(x)
        undefined = int(xp.isnan(codes).sum())
        if undefined:
            cause = "NaN" if self.overflow == "saturate" else "NaN or infinite"
            raise DataError(
                f"no integer stands for {undefined} of {math.prod(codes.shape)} values, which are {cause}; "
                "remove or replace them first"
            )
        return arithmetic.in_kind_of(x, arithmetic.cast(xp, codes, xp.int64))

    @overload
    def from_integer(self, q: torch.Tensor) -> torch.Tensor: ...
    @overload
    def from_integer(self, q: NDArray[Any]) -> NDArray[np.float64]: ...
    @overload
    def from_integer(self, q: int) -> float: ...
    @overload
    def from_integer(self, q: np.integer[Any]) -> np.float64: ...
    def from_integer(self, q: Any) -> Any:
        """Give the value that each integer code stands for, in float64, which holds them all.

        Parameters
        ----------
        q : int, or a NumPy array or scalar or torch.Tensor of integers

        Raises
        ------
        DataError
            ``q`` is none of these, or a code lies outside the range of the format.

        Examples
        --------
        >>> FixedPoint(8, 3).from_integer(17)
        2.125
        """
        xp, codes = arithmetic.as_array(q)
        if not arithmetic.is_integer(codes):
            raise DataError(f"codes are integers, not {arithmetic.describe(q)}")
        least, most = self._code_range
        if isinstance(codes, int):
            smallest = largest = codes
        elif math.prod(codes.shape):
            smallest, largest = int(codes.min()), int(codes.max())
        else:
            smallest, largest = least, most
        if smallest < least or largest > most:
            raise DataError(f"codes must lie in {least} to {most}, but {smallest} to {largest} were given")
        if isinstance(codes, int):
            return codes * self.step
        return arithmetic.in_kind_of(q, arithmetic.cast(xp, codes, xp.float64) * self.step)

    def _codes(self, x: Any) -> tuple[ModuleType, Any]:
        """Give the codes of ``x`` as whole floats (NaN where there is none), and the module that computes with them."""
        xp, array = arithmetic.as_array(x)
        wraps = self.overflow == "wrap"
        modulus_bits = self.word_length if wraps else None
        with np.errstate(all="ignore"):
            if arithmetic.is_integer(array):
                y = arithmetic.scale_integers(xp, array, self.fraction_length, modulus_bits)
            else:
                # Codes of 22 bits and all that leads to them are exact in float32.
                narrow = self.word_length <= 22 and abs(self.fraction_length) <= 64
                sided = self.rounding in ("floor", "ceil")
                y = arithmetic.scale_floats(xp, array, self.fraction_length, narrow, modulus_bits, sided)
            if wraps:
                arithmetic.round_in_place(xp, y, self.rounding)
                arithmetic.wrap_in_place(xp, y, self.word_length, self.signed)
            else:
                # Rounding keeps the order and both ends, so clipping before it gives what clipping after it would.
                xp.clip(y, *self._code_range, out=y)
                arithmetic.round_in_place(xp, y, self.rounding)
        y += 0.0  # which makes -0.0 zero
        return xp, y

    def _in_type(self, xp: ModuleType, values: Any, dtype: Any) -> Any:
        """Give values of the format in a floating type; for one that it does not hold, the next toward zero."""
        info = xp.finfo(dtype)
        # As Python's floats, since a narrow type would round what it is compared with.
        eps, largest, smallest = float(info.eps), float(info.max), float(info.smallest_normal)
        if (
            math.ldexp(eps, self.word_length - self.signed - 1) <= 1
            and max(-self.min, self.max) <= largest
            and self.step >= smallest * eps
        ):
            return arithmetic.cast(xp, values, dtype)
        limit = math.floor(largest / self.step) * self.step
        result = arithmetic.toward_zero(xp, xp.clip(values, -limit, limit), dtype)
        result += 0.0  # what is nearer to zero than any number of the type keeps no sign of its own
        return result


def _require_integer(name: str, value: object, least: int, most: int, where: str = "") -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
        raise FormatError(f"{name} must be an integer from {least} to {most}{where}, not {value!r}")
