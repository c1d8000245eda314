"""Counting on CUDA with Triton: one read of each value, private counters, and no word to the host.

A program takes every n-th block of the tensor. From its first block it reads where the values lie, on the logarithmic
scale, and counts 16 octaves around that place, of both signs, in a private table; it is filled by ``tl.histogram`` in
shared memory and added to the 64-bit table once, at the end. Zeros are summed in registers, since after a ReLU half
of all values would meet in one counter. What lies elsewhere (the far tail, subnormals, NaN, infinities) goes to the
table by atomic additions of its own; of normally distributed values that is one in 5,000.

The floor, on an H200: 4.3 TB/s of copy bandwidth, measured, is 1.07e12 float32 or 2.15e12 16-bit values a second.
Atomic additions in global memory run at 4e10 to 7e10 a second, a fifteenth of that, so they must not be made for each
value. Those in shared memory run at up to 32 lanes a clock and SM, 7e12 a second, and at about a third of it with the
bank conflicts of a normal distribution: no limit for float32. Clearing and reading 8,192 private counters for each
block of 8,192 values doubles or triples that work. So the kernel should be bound by memory for float32 and come to
about half of the bandwidth for 16-bit types. Merging costs at most 8,192 additions a program, 2 programs an SM: 30 to
50 microseconds, which decides for small tensors; these get fewer programs. Triton before 3.8 has no histogram that
could be used; there every value is an atomic addition in global memory, and the floor is out of reach.

None of these figures has been checked on a GPU yet: ``python tests/benchmarks/kernels.py`` does it where there is one.
"""

import contextlib

import torch
import triton
import triton.language as tl

from qwidgets.histograms.kernels import grid
from qwidgets.histograms.kernels.table import Table
from qwidgets.histograms.kernels.walk import blocks

COPY = 1 << 26  # values of a view with gaps that are copied at a time
BLOCK = tl.constexpr(8192)
BLOCKS_A_PROGRAM = 4  # at least, so that merging does not outweigh counting
WARPS = 8
# Before Triton 3.8 a histogram is made of ballots, whose work grows with the number of counters (a minute to compile,
# and slower than an atomic addition to the table for each value).
PRIVATELY = tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 8)

SIDE = tl.constexpr(16 * grid.STEPS)  # private counters of one sign
PRIVATE = tl.constexpr(2 * 16 * grid.STEPS)
BELOW = tl.constexpr(11 * grid.STEPS)  # how far the private counters reach below the mean position
STEPS = tl.constexpr(grid.STEPS)
MAGNITUDES = tl.constexpr(grid.MAGNITUDES)
ZEROS = tl.constexpr(grid.ZEROS)
NAN = tl.constexpr(grid.NAN)
POSITIVE_INFINITY = tl.constexpr(grid.POSITIVE_INFINITY)
NEGATIVE_INFINITY = tl.constexpr(grid.NEGATIVE_INFINITY)
SHIFT_32 = tl.constexpr(-(grid.LOWEST_OCTAVE + 127) * grid.STEPS)
SHIFT_64 = tl.constexpr(-(grid.LOWEST_OCTAVE + 1023) * grid.STEPS)
SUBNORMAL = tl.constexpr(127 * grid.STEPS)

_WORDS = {
    torch.float16: torch.float16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


def count(x: torch.Tensor, table: Table) -> None:
    """Add the values of ``x`` to ``table``, on the current stream and without waiting for it."""
    on_device = torch.cuda.device(x.device) if x.device.type == "cuda" else contextlib.nullcontext()
    with on_device:
        for run in blocks(x, COPY):
            words = run.view(_WORDS[run.dtype])
            needed = triton.cdiv(words.numel(), BLOCK.value * BLOCKS_A_PROGRAM)
            programs = min(needed, _programs(x.device))
            _count[(programs,)](words, words.numel(), table.cells, table.extremes, PRIVATELY, num_warps=WARPS)


def _programs(device: torch.device) -> int:
    if device.type != "cuda":
        return 2
    return 2 * int(torch.cuda.get_device_properties(device).multi_processor_count)


@triton.jit
def _magnitude(words: tl.tensor) -> tl.tensor:
    if words.dtype == tl.int64:
        return words & 0x7FFFFFFFFFFFFFFF
    else:
        return words & 0x7FFFFFFF


@triton.jit
def _load(pointer: tl.tensor, offsets: tl.tensor, size: tl.tensor, whole: tl.constexpr) -> tl.tensor:
    """Load words; 16-bit ones as the float32 words of the same values. Places beyond the end are zero."""
    words = tl.load(pointer + offsets) if whole else tl.load(pointer + offsets, mask=offsets < size, other=0)
    if words.dtype == tl.int16:
        return words.to(tl.int32) << 16
    elif words.dtype == tl.float16:
        return words.to(tl.float32).to(tl.int32, bitcast=True)
    else:
        return words


@triton.jit
def _place(words: tl.tensor) -> tl.tensor:
    """Give the bin of each word, not counting the sign, as if all were finite and not zero."""
    magnitude = _magnitude(words)
    if words.dtype == tl.int64:
        place = (magnitude >> 44).to(tl.int32) + SHIFT_64
        return tl.minimum(tl.maximum(place, 0), MAGNITUDES - 1)
    else:
        # The conversion of a subnormal's mantissa to float32 finds its leading one.
        leading = magnitude.to(tl.float32).to(tl.int32, bitcast=True)
        return tl.where(magnitude >= 0x00800000, (magnitude >> 15) + SHIFT_32, (leading >> 15) - SUBNORMAL)


@triton.jit
def _key(words: tl.tensor) -> tl.tensor:
    """Give integers that sort like the values."""
    if words.dtype == tl.int64:
        return words ^ ((words >> 63) & 0x7FFFFFFFFFFFFFFF)
    else:
        return words ^ ((words >> 31) & 0x7FFFFFFF)


@triton.jit
def _wide_key(key: tl.tensor) -> tl.tensor:
    """Give the 64-bit key of the value that a key stands for."""
    if key.dtype == tl.int64:
        return key
    else:
        word = key ^ ((key >> 31) & 0x7FFFFFFF)
        wide = word.to(tl.float32, bitcast=True).to(tl.float64).to(tl.int64, bitcast=True)
        return wide ^ ((wide >> 63) & 0x7FFFFFFFFFFFFFFF)


@triton.jit
def _count_block(
    pointer: tl.tensor,
    block: tl.tensor,
    size: tl.tensor,
    base: tl.tensor,
    cells: tl.tensor,
    private: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
    zeros: tl.tensor,
    whole: tl.constexpr,
    privately: tl.constexpr,
    infinity: tl.constexpr,
) -> tl.tuple:
    """Count one block; only the last of the tensor is not a whole one, and masks would keep loads from being wide."""
    offsets = block * BLOCK + tl.arange(0, BLOCK)
    words = _load(pointer, offsets, size, whole)
    present = offsets < size
    magnitude = _magnitude(words)
    negative = (words < 0).to(tl.int32)
    finite = present & (magnitude < infinity)
    key = _key(words)
    low = tl.minimum(low, tl.min(tl.where(finite, key, low)))
    high = tl.maximum(high, tl.max(tl.where(finite, key, high)))
    zeros += tl.sum((present & (magnitude == 0)).to(tl.int32))
    place = _place(words)
    outside = present & (magnitude != 0)
    if privately:
        near = place - base
        inside = finite & (magnitude != 0) & (near >= 0) & (near < SIDE)
        private += tl.histogram(near + negative * SIDE, PRIVATE, mask=inside)
        outside = outside & ~inside
    cell = place + negative * MAGNITUDES
    cell = tl.where(magnitude == infinity, POSITIVE_INFINITY + negative, cell)
    cell = tl.where(magnitude > infinity, NAN, cell)
    tl.atomic_add(cells + cell, tl.full((BLOCK,), 1, tl.int64), mask=outside, sem="relaxed")
    return private, low, high, zeros


@triton.jit
def _count(pointer: tl.tensor, size: tl.tensor, cells: tl.tensor, extremes: tl.tensor, privately: tl.constexpr) -> None:
    block = tl.program_id(0).to(tl.int64)
    words = _load(pointer, block * BLOCK + tl.arange(0, BLOCK), size, False)
    infinity: tl.constexpr = 0x7FF0000000000000 if words.dtype == tl.int64 else 0x7F800000
    if words.dtype == tl.int64:
        low = tl.full((), 0x7FFFFFFFFFFFFFFF, tl.int64)
        high = tl.full((), -0x8000000000000000, tl.int64)
    else:
        low = tl.full((), 0x7FFFFFFF, tl.int32)
        high = tl.full((), -0x80000000, tl.int32)
    magnitude = _magnitude(words)
    ordinary = (magnitude != 0) & (magnitude < infinity)
    total = tl.sum(tl.where(ordinary, _place(words), 0).to(tl.int64))
    base = (total // tl.maximum(tl.sum(ordinary.to(tl.int32)), 1)).to(tl.int32) - BELOW
    private = tl.zeros((PRIVATE,), tl.int32)
    zeros = tl.zeros((), tl.int64)
    whole_blocks = size.to(tl.int64) // BLOCK
    while block < whole_blocks:
        private, low, high, zeros = _count_block(
            pointer, block, size, base, cells, private, low, high, zeros, True, privately, infinity
        )
        block += tl.num_programs(0)
    if block * BLOCK < size:
        private, low, high, zeros = _count_block(
            pointer, block, size, base, cells, private, low, high, zeros, False, privately, infinity
        )
    if privately:
        counters = tl.arange(0, PRIVATE)
        sign = counters // SIDE
        cell = base + counters - sign * SIDE + sign * MAGNITUDES
        tl.atomic_add(cells + cell, private.to(tl.int64), mask=private != 0, sem="relaxed")
    tl.atomic_add(cells + ZEROS, zeros, mask=zeros != 0, sem="relaxed")
    tl.atomic_min(extremes, _wide_key(low), mask=low <= high, sem="relaxed")
    tl.atomic_max(extremes + 1, _wide_key(high), mask=low <= high, sem="relaxed")
