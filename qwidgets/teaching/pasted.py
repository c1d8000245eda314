"""Numbers as people paste them: text with anything between the numbers, and now and then something that is none.

What is no number is marked in its place, and the others stay.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qwidgets.errors import DataError

MOST_VALUES = 1_000_000

MOST_FAULTS = 1_000
"""What is pasted by mistake, such as a page of prose, is not read to its end."""

_TOKEN = re.compile(r"[^\s,;\[\](){}]+")


@dataclass(frozen=True)
class Fault:
    """A piece of text that is no number: where it starts and ends, and why it is none."""

    start: int
    stop: int
    reason: str


@dataclass(frozen=True)
class Pasted:
    """What was found in a text: the numbers in their order, and the pieces that are none."""

    text: str
    values: npt.NDArray[np.float64]
    faults: tuple[Fault, ...]


def read_numbers(text: str) -> Pasted:
    """Read numbers from text; spaces, line ends, commas, semicolons and brackets stand between them.

    Anything that Python reads as a float is a number, ``nan`` and ``inf`` among them. The decimal point is a point.
    After a million numbers, or a thousand pieces that are none, the rest is left unread, and is the last of the faults.

    Examples
    --------
    >>> pasted = read_numbers("0.5; 2,1 x -3e2")
    >>> pasted.values.tolist(), pasted.faults
    ([0.5, 2.0, 1.0, -300.0], (Fault(start=9, stop=10, reason='not a number'),))
    """
    values: list[float] = []
    faults: list[Fault] = []
    for match in _TOKEN.finditer(text):
        if len(values) == MOST_VALUES or len(faults) == MOST_FAULTS:
            most = f"{MOST_VALUES:,} numbers" if len(values) == MOST_VALUES else f"{MOST_FAULTS:,} pieces that are none"
            faults.append(Fault(match.start(), len(text), f"left unread after {most}; take a part of it"))
            break
        # A minus sign that was copied from a typeset page is a character of its own.
        token = match.group().replace("\N{MINUS SIGN}", "-")
        try:
            value = float(token)
        except ValueError:
            faults.append(Fault(match.start(), match.end(), "not a number"))
            continue
        if math.isinf(value) and "inf" not in token.casefold():
            faults.append(Fault(match.start(), match.end(), "too large for a 64-bit float"))
        else:
            values.append(value)
    return Pasted(text, np.array(values, np.float64), tuple(faults))


def values_text(values: npt.NDArray[np.float64]) -> str:
    """Write numbers so that `read_numbers` reads the same ones.

    Examples
    --------
    >>> values_text(np.array([0.1, -2.0]))
    '0.1, -2.0'
    """
    return ", ".join(map(repr, values.tolist()))


def as_values(data: Any) -> npt.NDArray[np.float64]:
    """Give the values of text, a number, a sequence, an array or a tensor of any shape, in one row.

    Raises
    ------
    DataError
        These are no real numbers, or more than a million of them.

    Examples
    --------
    >>> as_values([1, 2.5]), as_values("1 2.5"), as_values(torch.tensor([[1.0], [2.5]]))
    (array([1. , 2.5]), array([1. , 2.5]), array([1. , 2.5]))
    """
    if isinstance(data, str):
        pasted = read_numbers(data)
        if pasted.faults:
            first = pasted.faults[0]
            raise DataError(f"{data[first.start : first.stop][:40]!r} at character {first.start}: {first.reason}")
        return pasted.values
    if isinstance(data, torch.Tensor):
        if data.is_complex() or data.is_quantized or data.layout != torch.strided:
            raise DataError(f"cannot show a {data.layout} tensor of {data.dtype}; give real numbers, such as x.real")
        data = data.detach().cpu().to(torch.float64).numpy()
    try:
        array = np.asarray(data)
    except ValueError:
        raise DataError("cannot show a ragged sequence; give numbers, or an array of one shape") from None
    if array.dtype.kind not in "fiub" and array.size:
        raise DataError(f"cannot show {type(data).__name__} of {array.dtype}: give numbers, text, an array or a tensor")
    if array.size > MOST_VALUES:
        raise DataError(
            f"{array.size:,} values are more than the {MOST_VALUES:,} that can be shown one by one; "
            "take a part of them, or count them with BitHistogram().update(x)"
        )
    return array.astype(np.float64).ravel()
