"""Which formats a tensor can have, and how a person may write them."""

from qwidgets.errors import FormatError
from qwidgets.formats import ACCUMULATOR, CHANNELS_FIRST, AccumulatorFormat, FixedPoint, PerChannel
from qwidgets.network import Row
from qwidgets.tuning.snapshot import Format, NumberFormat

ACCUMULATING = CHANNELS_FIRST | {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "batch_norm"}
"""The layers that add their bias to a sum of products."""


def read(row: Row, fmt: NumberFormat | str | None) -> Format:
    """Give the format that was meant for a tensor.

    Parameters
    ----------
    fmt
        A format, a notation of one, "accumulator", or None.

    Raises
    ------
    FormatError
        It makes no sense, or this tensor cannot have it; the text says why.
    """
    if isinstance(fmt, str):
        fmt = ACCUMULATOR if fmt.strip().lower() == ACCUMULATOR.window else FixedPoint.parse(fmt)
    if isinstance(fmt, PerChannel):
        reason = why_not_per_channel(row)
        if not reason and len(fmt) != row.shape[0]:
            reason = f"it has {row.shape[0]} output channels, and there are formats for {len(fmt)}"
        if reason:
            raise FormatError(f"{row.name!r} cannot have formats per channel: {reason}")
    elif isinstance(fmt, AccumulatorFormat):
        if not has_accumulator(row):
            raise FormatError(
                f"{row.name!r} cannot have the format 'accumulator': only the bias of a convolution, a linear layer or "
                f"a batch norm is added to an accumulator, and this is the {row.kind} of {row.operation}"
            )
    elif fmt is not None and not isinstance(fmt, FixedPoint):
        raise FormatError(
            f"{row.name!r} was given {fmt!r}; it takes a FixedPoint, a notation of one, a PerChannel, "
            "'accumulator', or None (keep float)"
        )
    return fmt


def has_accumulator(row: Row) -> bool:
    """Whether a tensor is added to its layer's accumulator, so that it can have the format of that."""
    return row.kind == "bias" and row.operation in ACCUMULATING


def why_not_per_channel(row: Row) -> str:
    """Say why a tensor cannot have a format for each output channel; an empty text if it can."""
    if row.kind != "weight":
        return f"only weights can, and this is {'an' if row.kind[0] in 'ai' else 'a'} {row.kind}"
    if row.operation not in CHANNELS_FIRST:
        return f"the weight of {row.operation} has not its output channels along its first dimension"
    return ""
