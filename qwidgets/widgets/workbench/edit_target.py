"""What the window editor has in its hands: some tensors, or some channels of one weight.

It reads formats, bits and previews of just that from a plan, and tells what moving the window would make of the
formats. It draws nothing and changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram, Preview
from qwidgets.plan import Plan
from qwidgets.tuning import Format, NumberFormat
from qwidgets.widgets.controls import highest_bit, moved_together, window_of_channels

FIELDS = ["count", "underflow", "overflow", "mse", "sqnr_db", "max_error", "exact"]


@dataclass(frozen=True)
class EditTarget:
    """Some tensors of a plan, the first of which is drawn; of a single weight, perhaps some channels only.

    Attributes
    ----------
    names
        At least one.
    channels
        Of the one weight; empty for the whole tensors.
    """

    plan: Plan
    names: tuple[str, ...]
    channels: tuple[int, ...] = ()

    @property
    def free(self) -> list[str]:
        """The tensors whose formats may change."""
        return [name for name in self.names if name not in self.plan.locked]

    @property
    def window(self) -> FixedPoint | None:
        """The window that is drawn; None where there is none that could be moved."""
        return self._window(self.plan[self.names[0]])

    @property
    def committed_window(self) -> FixedPoint | None:
        """What is committed in its place."""
        return self._window(self.plan.committed[self.names[0]])

    def bits(self, sign: Literal["negative", "positive"]) -> "pd.Series[int]":
        """How many values of a sign have their leading one at each bit."""
        assert self.plan.calibration is not None
        name = self.names[0]
        if not self.channels:
            return self.plan.calibration[name].msb_counts(sign)
        values = self.plan.calibration.values(name)[list(self.channels)]
        return BitHistogram().update(values).msb_counts(sign)

    def previews(self) -> list[Preview]:
        """What the formats do, for each tensor or each channel that has one."""
        if self.channels:
            return self._of_channels(self.plan[self.names[0]])
        return [preview for name in self.names if (preview := self.plan.preview(name))]

    def committed_previews(self) -> list[Preview]:
        """What the committed formats do."""
        if self.channels:
            return self._of_channels(self.plan.committed[self.names[0]])
        return [preview for name in self.names if (preview := self.plan.committed_preview(name))]

    def moved(self, old: FixedPoint, new: FixedPoint) -> dict[str, NumberFormat]:
        """The formats after all is done to them that made ``new`` of ``old``."""
        formats = {name: self.plan[name] for name in self.free}
        whole = {name: fmt for name, fmt in formats.items() if isinstance(fmt, FixedPoint)}
        return {
            **moved_together(whole, old, new),
            **{
                name: window_of_channels(fmt, self.channels or range(len(fmt)), old, new)
                for name, fmt in formats.items()
                if isinstance(fmt, PerChannel)
            },
        }

    def written(self, fmt: FixedPoint) -> dict[str, NumberFormat]:
        """The formats after one was written for them: for chosen channels their window, else that of the tensor."""
        now = self.plan[self.names[0]]
        if not isinstance(now, PerChannel) or not self.channels:
            return dict.fromkeys(self.free, fmt)
        for channel in self.channels:
            now = window_of_channels(now, [channel], now[channel], fmt)
        return dict.fromkeys(self.free, now)

    def _window(self, fmt: Format) -> FixedPoint | None:
        if isinstance(fmt, PerChannel):
            return fmt[self.channels[0]] if self.channels else highest_bit(fmt)
        return fmt if isinstance(fmt, FixedPoint) else None

    def _of_channels(self, fmt: Format) -> list[Preview]:
        if not isinstance(fmt, FixedPoint | PerChannel):
            return []
        return _as_previews(self.plan.channels(self.names[0], fmt, self.channels)[FIELDS].itertuples(index=False))


def _as_previews(rows: Iterable[tuple[object, ...]]) -> list[Preview]:
    return [Preview(**dict(zip(FIELDS, row, strict=True))) for row in rows]  # type: ignore[arg-type]
