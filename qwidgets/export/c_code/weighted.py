"""Layers with constant weights in C: convolutions, linear layers, a batch norm by itself; and the terms of other tools.

Both CMSIS-NN and NNoM describe such a layer by fraction bits and shifts; those are written as named constants, and the
layer's struct is made of the same names, so that what is read there is what is computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qwidgets.export.c_code.finishing import Named, OutputStage, rounded_once, rounded_quotient
from qwidgets.export.c_code.parts import Array, Constants, Raw, Value, ctype, storage_of
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.simulation import Operand

INT32 = (-(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True)
class Constant:
    """A weight or bias: its row, its format, its codes and what is known of them."""

    row: str
    fmt: FixedPoint | PerChannel
    operand: Operand

    @property
    def codes(self) -> Tensor:
        """The integers."""
        assert self.operand.integers is not None
        return self.operand.integers.cpu()

    @property
    def fractions(self) -> list[int]:
        """The fraction bits of all, or of each channel."""
        if self.operand.shifts is None:
            return [-self.operand.codes.lsb]
        return [-self.operand.codes.lsb - int(shift) for shift in self.operand.shifts]


class WeightedLayer:
    """The constants of one layer, and the fields of its struct that name them.

    ``shared`` holds the arrays of weights and biases that were made, by row and type: layers may share them.
    """

    def __init__(
        self,
        row: str,
        name_of: Callable[[str], str],
        shared: dict[tuple[str, str], Array],
        input_fraction: int,
        weight: Constant,
        bias: Constant | None,
        ending: OutputStage,
    ) -> None:
        self._ending = ending
        self._name_of = name_of
        self._row = row
        self._shared = shared
        self._numbers: dict[str, str] = {}
        self._named = Named(name_of, row)
        self._arrays: list[Array] = []
        self._sum_fractions = [input_fraction + fraction for fraction in weight.fractions]

        self._number("input_fraction", [input_fraction])
        self._number("weight_fraction", weight.fractions)
        fields = self._codes("weight", weight, weight.codes, ctype(weight.fmt))
        if bias is not None:
            fields |= self._bias(bias)
        self._number("output_fraction", [ending.fmt.fraction_length])
        shift = self._number("output_right_shift", ending.right_shifts)
        self._number("output_multiplier", [0x40000000])
        self._number("output_shift", [1 - right for right in ending.right_shifts])
        fields["output"] = ending.fields(self._named, shift)
        self.fields = fields

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays of the layer."""
        return (*self._arrays, *self._named.arrays)

    def constants(self, title: str) -> Constants:
        """Give what the header says of the layer."""
        return Constants(title, self._numbers, self.arrays)

    def _bias(self, bias: Constant) -> dict[str, Value]:
        codes = bias.codes
        shifts = _aligned(self._sum_fractions, bias.fractions)
        rounding = rounded_once(bias.fmt.rounding)
        if not _fits(codes, shifts, rounding):
            codes, element = _in_accumulator(codes, shifts, rounding), "int32_t"
            fractions, shifts = self._sum_fractions, [0] * len(shifts)
        else:
            fractions, element = bias.fractions, ctype(bias.fmt)
        self._number("bias_fraction", fractions)
        fields = self._codes("bias", bias, codes, element)
        shift = self._number("bias_left_shift", shifts)
        fields["bias_left_shift" if len(shifts) == 1 else "bias_left_shifts"] = shift
        return fields | {"bias_rounding": Raw(f"QW_{rounding.upper()}")}

    def _codes(self, what: str, constant: Constant, codes: Tensor, element: str) -> dict[str, Value]:
        array = self._shared.get((constant.row, element))
        if array is None or not torch.equal(array.values, codes):
            shape = " x ".join(map(str, codes.shape))
            about = f"{constant.row}: {shape}, {constant.fmt.word_length} bits, {constant.fmt}"
            array = Array(self._name_of(constant.row), element, codes, about)
            self._arrays.append(array)
            self._shared[constant.row, element] = array
        return {what: Raw(array.name), f"{what}_storage": storage_of(element)}

    def _number(self, what: str, values: Sequence[int]) -> Raw:
        """Name a number, or the numbers of the channels as an array of the header that the other tools' layers take."""
        if len(values) == 1:
            name = self._name_of(f"{self._row}.{what}").upper()
            text = "0x40000000" if what == "output_multiplier" else str(values[0])
            self._numbers[name] = f"({text})" if values[0] < 0 else text
            return Raw(name)
        name = self._name_of(f"{self._row}.{what}")
        element = "int32_t" if what == "output_shift" else "int16_t"
        self._arrays.append(Array(name, element, torch.tensor(values), f"{what.replace('_', ' ')} of each channel"))
        return Raw(name)


def _aligned(sums: Sequence[int], bias: Sequence[int]) -> list[int]:
    """Give by how many bits the bias of each channel is shifted to the left: one number where all are the same."""
    count = max(len(sums), len(bias))
    shifts = [sums[i % len(sums)] - bias[i % len(bias)] for i in range(count)]
    return shifts[:1] if len(set(shifts)) == 1 else shifts


def _steps(codes: Tensor, shifts: Sequence[int], rounding: str) -> list[int]:
    """Give the codes of a bias in the steps of the sums, without limits."""
    pairs = ((int(code), shifts[i % len(shifts)]) for i, code in enumerate(codes.flatten()))
    return [code << shift if shift >= 0 else rounded_quotient(code, 1 << -shift, rounding) for code, shift in pairs]


def _fits(codes: Tensor, shifts: Sequence[int], rounding: str) -> bool:
    return all(INT32[0] <= step <= INT32[1] for step in _steps(codes, shifts, rounding))


def _in_accumulator(codes: Tensor, shifts: Sequence[int], rounding: str) -> Tensor:
    """Give a bias that leaves the accumulator as the simulation adds it: it wraps around."""
    steps = _steps(codes, shifts, rounding)
    return torch.tensor([(step - INT32[0]) % (1 << 32) + INT32[0] for step in steps]).reshape(codes.shape)
