"""Axes with labels of our own, in the way that every supported bqplot understands."""

from collections.abc import Mapping
from typing import Literal

import bqplot


def labelled_axis(scale: bqplot.Scale, side: Literal["top", "bottom", "left"]) -> bqplot.Axis:
    """An axis without grid lines."""
    axis = bqplot.Axis(scale=scale, side=side, grid_lines="none", tick_style={"font-size": "11px"})
    # bqplot 0.12 must be told; 0.13 takes it from the side, and warns where it is given to the constructor.
    axis.orientation = "vertical" if side == "left" else "horizontal"
    return axis


def tick_spacing(columns: int, most: int, least: int = 1) -> int:
    """How many columns apart labels must be, in powers of two up to 16, that at most so many have room."""
    spacings = (1, 2, 4, 8, 16)
    return next((each for each in spacings if each >= least and columns / each <= most), spacings[-1])


def label_ticks(axis: bqplot.Axis, labels: Mapping[float, str]) -> None:
    """Give an axis its ticks. The labels go first and alone: bqplot writes those that it has when the ticks arrive."""
    texts = {f"{place:g}": text for place, text in labels.items()}
    if axis.tick_labels != texts:
        axis.tick_labels = texts
        axis.tick_values = list(labels)
