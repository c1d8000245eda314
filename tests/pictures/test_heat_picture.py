import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from qwidgets.pictures import BitRange, Window, heat_picture


def series(counts: dict[int, int]) -> "pd.Series[int]":
    return pd.Series(list(counts.values()), index=pd.Index(list(counts), name="bit"), dtype="int64")


def colours(
    counts: dict[int, int], window: Window, committed: Window
) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """The row painted for a tensor and read back from the PNG: red, green and blue by column of pixels."""
    bits = BitRange.over([series(counts)], [window, committed])
    row = heat_picture.paint_row(heat_picture.levels(bits.counts(series(counts))), bits, window, committed, 8)
    picture = Image.open(io.BytesIO(heat_picture.to_png(row))).convert("RGB")
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = np.asarray(picture, dtype=np.int64)[2]
    return pixels


def middles(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> list[tuple[int, ...]]:
    return [tuple(pixels[x]) for x in range(heat_picture.CELL_WIDTH // 2, len(pixels), heat_picture.CELL_WIDTH)]


def is_gray(colour: tuple[int, ...]) -> bool:
    return max(colour) - min(colour) == 0 and colour[0] < 255


def test_more_values_are_darker_and_none_is_white() -> None:
    cells = middles(colours({3: 1, 2: 100, 1: 10_000, 0: 0}, None, None))
    darkness = [-sum(cell) for cell in cells]
    assert darkness[3] < darkness[0] < darkness[1] < darkness[2]
    assert cells[3] == (255, 255, 255)
    assert cells[2][2] > cells[2][0]  # it is blue


def test_the_smallest_count_beside_billions_is_not_white() -> None:
    assert middles(colours({1: 10**12, 0: 1}, None, None))[1] != (255, 255, 255)


def test_gray_lies_over_the_bits_outside_the_window_only() -> None:
    cells = middles(colours({4: 0, 3: 5, 2: 0, 1: 0}, (3, 2), (3, 2)))
    assert [is_gray(cell) for cell in cells] == [True, False, False, True]


def test_the_committed_window_s_edges_are_seen_under_a_draft_and_not_otherwise() -> None:
    counts = dict.fromkeys(range(5, -6, -1), 0)
    black = (20, 20, 20)
    drafted = colours(counts, (5, 2), (3, -3))
    places = [x // heat_picture.CELL_WIDTH for x in range(1, len(drafted)) if tuple(drafted[x]) == black]
    assert set(places) == {1, 2, 8, 9} & set(places)
    assert len(places) == 4
    assert black not in [tuple(pixel) for pixel in colours(counts, (3, -3), (3, -3))]


def test_every_bit_has_a_column_and_those_too_low_share_the_last() -> None:
    bits = BitRange.over([series({2: 1, 0: 3}), series({})], [(4, -2), None])
    assert (bits.top, bits.bottom, bits.bottom_is_open) == (4, -2, False)
    wide = BitRange.over([series({2: 1, -100: 7, -140: 5})], [])
    assert len(wide) == heat_picture.MOST_COLUMNS
    assert wide.bottom_is_open
    assert wide.counts(series({2: 1, -100: 7, -140: 5})).tolist() == [1, *[0] * 62, 12]


def test_nothing_at_all_can_be_painted() -> None:
    assert len(BitRange.over([], [])) == 1


@pytest.mark.parametrize("height", [1, 4, 18])
def test_a_row_is_as_high_as_it_was_asked_to_be(height: int) -> None:
    bits = BitRange(3, 0)
    assert heat_picture.paint_row(np.zeros(4, np.uint8), bits, None, None, height).shape == (height, 40)
