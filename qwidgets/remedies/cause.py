"""What a cause is: it looks at what is known of a costly row, and says whether that is why, and what might mend it.

Each module of `qwidgets.remedies.causes` registers one; :func:`register_cause` adds one from anywhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qwidgets.calibration import Calibration
from qwidgets.errors import PlanError
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram, Preview
from qwidgets.network import Operation, Row, Sum
from qwidgets.tuning import Format, NumberFormat, PlanState


@dataclass(frozen=True)
class Trial:
    """Formats that might help, and what they are in words, such as "window 1 bit higher"."""

    title: str
    formats: Mapping[str, Format]


@dataclass(frozen=True)
class Cause:
    """Why a row costs the output what it costs.

    Attributes
    ----------
    name
        Of the kind, such as ``outlier_tail``.
    text
        A sentence with its figure.
    trials
        What might take it away.
    steps
        The names of steps that might.
    is_general
        Whether it says where bits are missing rather than why: it stands behind the others.
    """

    name: str
    text: str
    trials: tuple[Trial, ...] = ()
    steps: tuple[str, ...] = ()
    is_general: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known of a row that costs much, under the committed formats.

    Attributes
    ----------
    row, format
        The tensor, and what is committed for it.
    preview
        What that does to its values.
    alone_db
        SQNR of the output, in dB, with this row quantized alone.
    operation
        What the row leaves; None for a weight or bias.
    read_by
        The operations that read it.
    dead_bits
        So many low bits are zero in every code of it.
    mean_share
        How much of the squared error of what leaves its layer is a shift of its channels' means, from 0 to 1.
    overflows, needed_bits
        How many of the sums that it leaves did not fit their accumulators, and the width that holds them.
    is_last
        Whether it belongs to a layer that the output comes from.
    """

    plan: PlanState
    calibration: Calibration
    row: Row
    format: NumberFormat
    preview: Preview | None
    alone_db: float
    operation: Operation | None
    read_by: tuple[Operation, ...]
    dead_bits: int
    mean_share: float
    overflows: int
    needed_bits: int
    is_last: bool

    @property
    def histogram(self) -> BitHistogram:
        """Of its values."""
        return self.calibration[self.row.name]

    @property
    def window(self) -> FixedPoint | None:
        """Its format where that is one window for all; else None."""
        return self.format if isinstance(self.format, FixedPoint) else None

    @property
    def windows(self) -> FixedPoint | PerChannel | None:
        """Its format where that has windows; None at an accumulator."""
        return self.format if isinstance(self.format, FixedPoint | PerChannel) else None

    @property
    def sum(self) -> Sum | None:
        """What is known of the sums that it leaves, or has a part in as a weight or bias."""
        name = self.row.name
        return next((each for each in self.calibration.sums if name in (each.row, each.weight, each.bias)), None)

    def trial(self, title: str, fmt: Format) -> Trial:
        """Give a trial of another format of this row."""
        return Trial(title, {self.row.name: fmt})


Tell = Callable[[Evidence], Cause | None]

CAUSES: dict[str, Tell] = {}
"""What tells each cause, by its name."""


def register_cause(tell: Tell) -> Tell:
    """Make a cause known under the name of its function, which gives None where it does not apply.

    Raises
    ------
    PlanError
        There is another one of that name.

    Examples
    --------
    >>> @register_cause
    ... def too_few_values(evidence):
    ...     return Cause("too_few_values", "nobody knows") if evidence.histogram.count < 10 else None
    >>> CAUSES.pop("too_few_values").__name__
    'too_few_values'
    """
    if CAUSES.setdefault(tell.__name__, tell) is not tell:
        raise PlanError(f"there is a cause {tell.__name__!r} already; give this one another name")
    return tell


def bits_text(bits: int) -> str:
    """Give a number of bits in words.

    Examples
    --------
    >>> bits_text(1), bits_text(3)
    ('1 bit', '3 bits')
    """
    return f"{bits} bit{'' if bits == 1 else 's'}"
