"""What a rule is asked and what it answers, and the registry of all rules."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import Tensor

from qwidgets.simulation.accumulation import Accumulator, Codes

Run = Callable[[Mapping[str, Any]], Tensor]
"""Computes an operation from its arguments by name, tensors of values in the place of the operands."""


@dataclass(frozen=True)
class Operand:
    """A tensor of codes, before it is computed.

    Attributes
    ----------
    shape
        Sizes that differ from batch to batch are None.
    integers
        The codes themselves, where they are constant: they bound a sum more tightly than the format does.
    rounding
        How they are rounded where they must be aligned to a coarser step.
    shifts
        Where each channel along the first dimension has a step of its own, by how many bits it is above ``codes.lsb``.
        ``integers`` then are counted in the steps of their channels.
    sums_in
        Where they are sums, each channel's in a step of its own: by how many bits it is above ``codes.lsb``, in a shape
        that can be added to them.
    """

    codes: Codes
    shape: tuple[int | None, ...]
    integers: Tensor | None = None
    rounding: str = "half_away"
    shifts: Tensor | None = None
    sums_in: Tensor | None = None


@dataclass(frozen=True)
class Call:
    """One operation of a network: its ATen name, its arguments, the function itself, the accumulator it works in.

    Arguments are by name, with an `Operand` in the place of each tensor; the function takes them by name.
    """

    name: str
    arguments: Mapping[str, Any]
    operation: Callable[..., Tensor]
    accumulator: Accumulator

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def held(self, codes: Codes, run: Run) -> "Exact":
        """Give what an operation computes after the accumulator has taken it up."""
        return Exact(self.accumulator.codes(codes), lambda given: self.accumulator.hold(run(given), codes))


@dataclass(frozen=True)
class Exact:
    """What is known of the codes that an operation gives, and how it computes them; ``sums_in`` as of an `Operand`."""

    codes: Codes
    run: Run
    sums_in: Tensor | None = None


Rule = Callable[[Call], Exact | None]

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule of some operations, by their ATen names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether an argument is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def constant(number: float) -> tuple[int, int]:
    """Give the integer of at most 15 magnitude bits, and its step's position, that stand for a number in the program.

    Examples
    --------
    >>> constant(0.125)
    (1, -3)
    >>> constant(0.01)
    (5243, -19)
    """
    if number == 0:
        return 0, 0
    fraction, exponent = math.frexp(abs(number))
    significand = math.floor(math.ldexp(fraction, 15) + 0.5)
    trailing = (significand & -significand).bit_length() - 1
    return int(math.copysign(significand >> trailing, number)), exponent - 15 + trailing
