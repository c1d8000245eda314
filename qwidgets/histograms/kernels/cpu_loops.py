"""The compiled loops of the CPU kernel, on the raw words of the values.

``sweep*`` count a run of values into private 32-bit counters addressed by the leading bits of the words, block by
block; blocks with anything unusual in them are noted and left to ``tally*``, which adds single values to the table
and knows every case. ``fold*`` add the private counters to the table and clear them. Words are unsigned; a
*magnitude* is a word without its sign bit.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from qwidgets.histograms.kernels.compiled import compiled
from qwidgets.histograms.kernels.grid import (
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

Words = npt.NDArray[Any]
Cells = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]
Integer = Any  # a Python or a NumPy integer: compiled code does not tell them apart

BLOCK = 16384  # values: 64 KiB of float32, so that the second sweep reads from the second-level cache at the latest
# After a ReLU every second value is zero, and adding to one counter over and over waits for the last addition each
# time: zeros are spread over lanes, a cache line apart.
LANES = 4
LANE = 16
PRIVATE = 2 * MAGNITUDES + LANES * LANE  # counters that a thread needs, for any of the types
LANES_AT = 2 * MAGNITUDES

# Places in the notes that sweep* leaves for fold*.
LOW, HIGH, SMALLEST, ODD = 0, 1, 2, 3
NOTES = 4

SIGN_32 = np.uint32(0x80000000)
MAGNITUDE_32 = np.uint32(0x7FFFFFFF)
NORMAL_32 = np.uint32(0x00800000)
INFINITY_32 = np.uint32(0x7F800000)
FIRST_NORMAL = (-126 - LOWEST_OCTAVE) * STEPS
# Bin of a float32 word = its top bits + SHIFT_32, for normal values: exponent field 1 is octave -126.
SHIFT_32 = FIRST_NORMAL - STEPS
# The same for float64, whose exponent field is biased by 1023 instead of 127.
SHIFT_64 = -(LOWEST_OCTAVE + 1023) * STEPS
INFINITY_64 = 0x7FF0000000000000
LOW_64 = (1023 + LOWEST_OCTAVE) << 52
HIGH_64 = (1023 + 128) << 52


@compiled
def _start(notes: Cells) -> None:
    notes[LOW] = NO_LOWEST
    notes[HIGH] = NO_HIGHEST
    notes[SMALLEST] = NO_LOWEST
    notes[ODD] = 0


@compiled
def sweep32(words: Words, private: Words, notes: Cells, odd: Cells) -> None:
    """Count float32 words; note the extremes as 32-bit sortable keys."""
    _start(notes)
    for first in range(0, words.size, BLOCK):
        block = words[first : first + BLOCK]
        low, high, smallest, zeros = _survey32(block.view(np.int32))
        if smallest < NORMAL_32 - 1 or high >= np.int32(0x7F800000) or low < np.int32(-0x7F800000):
            odd[notes[ODD]] = first
            notes[ODD] += 1
            continue
        notes[LOW] = min(notes[LOW], low)
        notes[HIGH] = max(notes[HIGH], high)
        notes[SMALLEST] = min(notes[SMALLEST], smallest)
        if low == high:  # all alike, and every addition would wait for the one before
            private[block[0] >> np.uint32(15)] += np.uint32(block.size)
        elif zeros > block.size >> 4:
            for i in range(block.size):
                place = np.int64(block[i] >> np.uint32(15))
                if block[i] == 0:
                    place = np.int64(LANES_AT + LANE * (i & (LANES - 1)))
                private[place] += np.uint32(1)
        else:
            for i in range(block.size):
                private[block[i] >> np.uint32(15)] += np.uint32(1)


@compiled
def _survey32(words: Words) -> tuple[Integer, Integer, Integer, Integer]:
    """Find the extremes, as keys, the smallest nonzero magnitude less one, and the number of zeros."""
    low = np.int32(0x7FFFFFFF)
    high = np.int32(-0x80000000)
    smallest = np.uint32(0xFFFFFFFF)
    zeros = np.uint32(0)
    for i in range(words.size):
        word = words[i]
        key = np.int32(word ^ np.int32(np.int32(word >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        low = min(low, key)
        high = max(high, key)
        # One less, so that zero becomes the largest of all and the minimum is that of the nonzero magnitudes.
        less = np.uint32(np.uint32(word & np.int32(0x7FFFFFFF)) - np.uint32(1))
        smallest = min(smallest, less)
        zeros += np.uint32(less == np.uint32(0xFFFFFFFF))
    return low, high, smallest, zeros


@compiled
def fold32(private: Words, notes: Cells, cells: Cells, touched: Flags, extremes: Cells) -> None:
    """Add the counters of float32 words to the table."""
    if notes[LOW] > notes[HIGH]:
        return
    _widen(notes[LOW], extremes)
    _widen(notes[HIGH], extremes)
    _fold_zeros(private, 0, cells)
    _fold_zeros(private, 1 << 16, cells)
    _fold_lanes(private, cells)
    smallest = notes[SMALLEST] + 1
    # A negative key is the complement of the magnitude.
    for sign, largest in ((0, notes[HIGH]), (1, -1 - notes[LOW])):
        for octave in range(smallest >> 23, (largest >> 23) + 1):
            _fold_octave(
                private, (sign << 16) + octave * STEPS, SHIFT_32 - (sign << 16) + sign * MAGNITUDES, cells, touched
            )


@compiled
def tally32(words: Words, cells: Cells, touched: Flags, extremes: Cells) -> None:
    """Add single float32 words of any kind to the table."""
    low = np.int64(0x7FFFFFFF)
    high = np.int64(-0x80000000)
    for i in range(words.size):
        word = np.int64(words[i])
        if _tally_word(word, np.int64(1), cells, touched):
            key = word if word < 0x80000000 else 0x7FFFFFFF - word
            low = min(low, key)
            high = max(high, key)
    if low <= high:
        _widen(low, extremes)
        _widen(high, extremes)


@compiled
def sweep16(words: Words, private: Words, notes: Cells, odd: Cells) -> None:
    """Count 16-bit words of either kind; every pattern has a counter of its own."""
    _start(notes)
    for first in range(0, words.size, BLOCK):
        block = words[first : first + BLOCK]
        zeros, alike = _survey16(block)
        if alike == block.size:
            private[block[0]] += np.uint32(block.size)
        elif zeros > block.size >> 4:
            for i in range(block.size):
                place = np.int64(block[i])
                if place == 0:
                    place = np.int64(LANES_AT + LANE * (i & (LANES - 1)))
                private[place] += np.uint32(1)
        else:
            for i in range(block.size):
                private[block[i]] += np.uint32(1)


@compiled
def _survey16(words: Words) -> tuple[Integer, Integer]:
    """Count the zeros, and the words that are equal to the first."""
    zeros = np.uint16(0)
    alike = np.uint16(0)
    for i in range(words.size):
        zeros += np.uint16(words[i] == np.uint16(0))
        alike += np.uint16(words[i] == words[0])
    return zeros, alike


@compiled
def fold16(private: Words, half: bool, cells: Cells, touched: Flags, extremes: Cells) -> None:
    """Add the counters of 16-bit words to the table: float16 when ``half``, bfloat16 otherwise."""
    for lane in range(LANES):
        private[0] += private[LANES_AT + LANE * lane]
        private[LANES_AT + LANE * lane] = 0
    low = np.int64(0x7FFFFFFF)
    high = np.int64(-0x80000000)
    for first in range(0, 1 << 16, 64):
        any_counted = np.uint32(0)
        for pattern in range(first, first + 64):
            any_counted |= private[pattern]
        if any_counted:
            for pattern in range(first, first + 64):
                if private[pattern]:
                    word = _half_to_single(pattern) if half else np.int64(pattern << 16)
                    if _tally_word(word, np.int64(private[pattern]), cells, touched):
                        key = word if word < 0x80000000 else 0x7FFFFFFF - word
                        low = min(low, key)
                        high = max(high, key)
                    private[pattern] = 0
    if low <= high:
        _widen(low, extremes)
        _widen(high, extremes)


@compiled
def tally16(words: Words, half: bool, cells: Cells, touched: Flags, extremes: Cells) -> None:
    """Add single 16-bit words of any kind to the table."""
    low = np.int64(0x7FFFFFFF)
    high = np.int64(-0x80000000)
    for i in range(words.size):
        word = _half_to_single(np.int64(words[i])) if half else np.int64(words[i]) << 16
        if _tally_word(word, np.int64(1), cells, touched):
            key = word if word < 0x80000000 else 0x7FFFFFFF - word
            low = min(low, key)
            high = max(high, key)
    if low <= high:
        _widen(low, extremes)
        _widen(high, extremes)


@compiled
def sweep64(words: Words, private: Words, notes: Cells, odd: Cells) -> None:
    """Count float64 words; note the extremes as sortable keys."""
    _start(notes)
    for first in range(0, words.size, BLOCK):
        block = words[first : first + BLOCK]
        low, high, smallest = _survey64(block.view(np.int64))
        if smallest < np.uint64(LOW_64 - 1) or high >= HIGH_64 or low < -HIGH_64:
            odd[notes[ODD]] = first
            notes[ODD] += 1
            continue
        notes[LOW] = min(notes[LOW], low)
        notes[HIGH] = max(notes[HIGH], high)
        notes[SMALLEST] = min(notes[SMALLEST], np.int64(smallest >> np.uint64(1)))
        if low == high:
            private[_place64(block[0], 0)] += np.uint32(block.size)
        else:
            for i in range(block.size):
                private[_place64(block[i], i)] += np.uint32(1)


@compiled
def _place64(word: Integer, i: int) -> Integer:
    place = np.int64(word >> np.uint64(44))
    place += (place >> 19) * (MAGNITUDES - (1 << 19)) + SHIFT_64
    if word << np.uint64(1) == 0:
        place = np.int64(LANES_AT + LANE * (i & (LANES - 1)))
    return place


@compiled
def _survey64(words: Words) -> tuple[Integer, Integer, Integer]:
    low = np.int64(NO_LOWEST)
    high = np.int64(NO_HIGHEST)
    smallest = np.uint64(0xFFFFFFFFFFFFFFFF)
    for i in range(words.size):
        word = words[i]
        key = word ^ ((word >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))
        low = min(low, key)
        high = max(high, key)
        smallest = min(smallest, np.uint64(word & np.int64(0x7FFFFFFFFFFFFFFF)) - np.uint64(1))
    return low, high, smallest


@compiled
def fold64(private: Words, notes: Cells, cells: Cells, touched: Flags, extremes: Cells) -> None:
    """Add the counters of float64 words to the table."""
    if notes[LOW] > notes[HIGH]:
        return
    extremes[0] = min(extremes[0], notes[LOW])
    extremes[1] = max(extremes[1], notes[HIGH])
    _fold_lanes(private, cells)
    smallest = notes[SMALLEST] << 1
    for sign, largest in ((0, notes[HIGH]), (1, -1 - notes[LOW])):
        for octave in range(smallest >> 52, (largest >> 52) + 1):
            place = sign * MAGNITUDES + octave * STEPS + SHIFT_64
            if place >= sign * MAGNITUDES:
                _fold_octave(private, place, 0, cells, touched)


@compiled
def tally64(words: Words, cells: Cells, touched: Flags, extremes: Cells) -> None:
    """Add single float64 words of any kind to the table."""
    signed = words.view(np.int64)
    for i in range(words.size):
        word = signed[i]
        magnitude = word & 0x7FFFFFFFFFFFFFFF
        if magnitude > INFINITY_64:
            cells[NAN] += 1
        elif magnitude == INFINITY_64:
            cells[POSITIVE_INFINITY if word > 0 else NEGATIVE_INFINITY] += 1
        else:
            if magnitude == 0:
                cells[ZEROS] += 1
            else:
                cell = min(max((magnitude >> 44) + SHIFT_64, 0), MAGNITUDES - 1) + (MAGNITUDES if word < 0 else 0)
                cells[cell] += 1
                touched[cell // STEPS] = 1
            key = word if word >= 0 else word ^ 0x7FFFFFFFFFFFFFFF
            extremes[0] = min(extremes[0], key)
            extremes[1] = max(extremes[1], key)


@compiled
def _tally_word(word: Integer, times: Integer, cells: Cells, touched: Flags) -> bool:
    """Add one float32 word so many times, and say whether it is finite."""
    magnitude = word & 0x7FFFFFFF
    if magnitude > 0x7F800000:
        cells[NAN] += times
        return False
    if magnitude == 0x7F800000:
        cells[POSITIVE_INFINITY if word < 0x80000000 else NEGATIVE_INFINITY] += times
        return False
    if magnitude == 0:
        cells[ZEROS] += times
        return True
    if magnitude >= 0x00800000:
        cell = (magnitude >> 15) + SHIFT_32
    else:
        position = 0
        while magnitude >> (position + 1):
            position += 1
        cell = position * STEPS + (((magnitude << (23 - position)) & 0x7FFFFF) >> 15)
    if word >= 0x80000000:
        cell += MAGNITUDES
    cells[cell] += times
    touched[cell // STEPS] = 1
    return True


@compiled
def _half_to_single(pattern: Integer) -> Integer:
    """Give the float32 word of a float16 pattern."""
    sign = (pattern & 0x8000) << 16
    exponent = (pattern >> 10) & 0x1F
    mantissa = pattern & 0x3FF
    if exponent == 31:
        return sign | 0x7F800000 | (mantissa << 13)
    if exponent:
        return sign | ((exponent + 112) << 23) | (mantissa << 13)
    if mantissa == 0:
        return sign
    position = 0
    while mantissa >> (position + 1):
        position += 1
    return sign | ((position + 103) << 23) | ((mantissa << (23 - position)) & 0x7FFFFF)


@compiled
def _widen(key: Integer, extremes: Cells) -> None:
    """Widen the extremes by a finite float32 value, given as its 32-bit sortable key."""
    word = np.empty(1, np.int64)
    word[0] = key if key >= 0 else 0x7FFFFFFF - key
    value = np.empty(1, np.float64)
    value[0] = word.astype(np.uint32).view(np.float32)[0]
    wide = value.view(np.int64)[0]
    if wide < 0:
        wide ^= 0x7FFFFFFFFFFFFFFF
    extremes[0] = min(extremes[0], wide)
    extremes[1] = max(extremes[1], wide)


@compiled
def _fold_octave(private: Words, first: int, shift: int, cells: Cells, touched: Flags) -> None:
    any_counted = np.uint32(0)
    for place in range(first, first + STEPS):
        any_counted |= private[place]
    if any_counted:
        touched[(first + shift) // STEPS] = 1
        for place in range(first, first + STEPS):
            cells[place + shift] += private[place]
            private[place] = 0


@compiled
def _fold_zeros(private: Words, place: int, cells: Cells) -> None:
    cells[ZEROS] += private[place]
    private[place] = 0


@compiled
def _fold_lanes(private: Words, cells: Cells) -> None:
    for lane in range(LANES):
        _fold_zeros(private, LANES_AT + LANE * lane, cells)
