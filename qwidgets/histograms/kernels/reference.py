"""Counting with plain torch operations: slow, short, and what the other kernels are held against.

It runs on any device that torch has, in blocks, so that its memory does not grow with the tensor. It depends on the
grid alone.
"""

import torch

from qwidgets.histograms.kernels.grid import (
    BINS,
    LOWEST_OCTAVE,
    MAGNITUDES,
    NAN,
    NEGATIVE_INFINITY,
    NO_HIGHEST,
    NO_LOWEST,
    POSITIVE_INFINITY,
    STEPS,
    ZEROS,
)
from qwidgets.histograms.kernels.table import Table
from qwidgets.histograms.kernels.walk import blocks

BLOCK = 1 << 20

# Integer type of the same size, mantissa bits, exponent bias.
LAYOUTS = {
    torch.float16: (torch.int16, 10, 15),
    torch.bfloat16: (torch.int16, 7, 127),
    torch.float32: (torch.int32, 23, 127),
    torch.float64: (torch.int64, 52, 1023),
}


def count(x: torch.Tensor, table: Table) -> None:
    """Add the values of ``x`` to ``table``."""
    for block in blocks(x, BLOCK):
        for part in block.split(BLOCK):
            _count_block(part, table)


def _count_block(values: torch.Tensor, table: Table) -> None:
    integers, mantissa_bits, bias = LAYOUTS[values.dtype]
    bits = values.view(integers).to(torch.int64)
    magnitude = bits & ((1 << (values.element_size() * 8 - 1)) - 1)
    exponent = magnitude >> mantissa_bits
    mantissa = magnitude & ((1 << mantissa_bits) - 1)
    # The leading one of a subnormal is found by subtracting the powers of two that it reaches.
    position = torch.zeros_like(mantissa)
    for power in range(1, mantissa_bits):
        position += (mantissa >> power) != 0
    subnormal = exponent == 0
    octave = torch.where(subnormal, position - mantissa_bits + 1, exponent) - bias
    fraction = torch.where(subnormal, (mantissa << (mantissa_bits - position)) & ((1 << mantissa_bits) - 1), mantissa)
    step = fraction >> (mantissa_bits - 8) if mantissa_bits >= 8 else fraction << (8 - mantissa_bits)
    bins = ((octave - LOWEST_OCTAVE) * STEPS + step).clamp(0, MAGNITUDES - 1)
    negative = bits < 0
    bins += negative * MAGNITUDES
    nan, infinite = values.isnan(), values.isinf()
    bins = torch.where(magnitude == 0, ZEROS, bins)
    bins = torch.where(nan, NAN, bins)
    bins = torch.where(infinite, torch.where(negative, NEGATIVE_INFINITY, POSITIVE_INFINITY), bins).to(table.device)
    table.cells.scatter_add_(0, bins, torch.ones_like(bins))
    wide = values.to(table.device).to(torch.float64).view(torch.int64)
    keys = torch.where(wide >= 0, wide, wide ^ 0x7FFFFFFFFFFFFFFF)
    finite = ~(nan | infinite).to(table.device)
    lowest = torch.where(finite, keys, NO_LOWEST).amin()
    highest = torch.where(finite, keys, NO_HIGHEST).amax()
    torch.minimum(table.extremes[0], lowest, out=table.extremes[0])
    torch.maximum(table.extremes[1], highest, out=table.extremes[1])
    if table.device.type == "cpu":
        table.touched |= (table.cells[:BINS].view(-1, STEPS) != 0).any(1)
