"""Why one tensor's format is nothing for a target, from the format and the row alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from qwidgets.formats import AccumulatorFormat, FixedPoint, PerChannel
from qwidgets.network import Row
from qwidgets.targets.target import Target, storage
from qwidgets.tuning import ACCUMULATING, Format


@dataclass(frozen=True)
class Misfit:
    """One reason why a tensor is nothing for a target, and what a person can do; None names the whole network."""

    name: str | None
    reason: str
    remedy: str


def of_operation(target: Target, row: Row) -> Iterator[Misfit]:
    """Say so if the target does not compute what makes a tensor, or reads it."""
    if row.kind != "input" and row.operation != "embedding" and not target.computes(row.operation):
        yield Misfit(
            row.name,
            f"{target.title} does not compute {row.operation} in these integers",
            "export the part of the network without it, or replace the operation",
        )


def of_format(target: Target, row: Row, fmt: Format, output: Format) -> Iterator[Misfit]:
    """Give the reasons against a tensor's format.

    Parameters
    ----------
    output
        The format of what leaves the tensor's layer; None where it has none, or stays in float.
    """
    if fmt is None:
        if not target.floats:
            yield Misfit(row.name, f"stays in float, and {target.title} has no float", _proposal(target, row))
        return
    if row.kind == "bias" and row.operation in ACCUMULATING and target.bias != "any":
        if target.bias == "accumulator" and not isinstance(fmt, AccumulatorFormat):
            yield Misfit(
                row.name,
                f"has a window of its own, and {target.title} rounds a bias to the step of its layer's sums",
                f"plan[{row.name!r}] = 'accumulator'",
            )
        return
    if isinstance(fmt, AccumulatorFormat):
        return
    yield from _of_word(target, row, fmt, output)
    if fmt.signed is False and not target.unsigned:
        yield Misfit(row.name, f"is unsigned, and {target.title} takes signed formats only", _proposal(target, row))
    elif fmt.signed is False and row.kind == "weight" and not target.unsigned_weights:
        yield Misfit(row.name, f"is unsigned, and {target.title} takes signed weights only", _proposal(target, row))
    elif fmt.signed is False and row.operation in target.signed_only:
        yield Misfit(
            row.name,
            f"is unsigned, and {target.title} has {row.operation} of signed formats only",
            _proposal(target, row),
        )
    if target.quantizes(row.kind):
        roundings = target.rounds(row.operation if row.kind == "activation" else row.kind)
        if fmt.rounding not in roundings:
            what = f" what {row.operation} gives" * (roundings != target.roundings and row.kind == "activation")
            yield Misfit(
                row.name,
                f"rounds {fmt.rounding}, and {target.title} rounds{what} {_or(roundings)}",
                _replacement(row, rounding=roundings[0]),
            )
        if fmt.overflow not in target.overflows:
            yield Misfit(
                row.name,
                f"wraps around, and {target.title} saturates",
                _replacement(row, overflow=target.overflows[0]),
            )
    if isinstance(fmt, PerChannel):
        yield from _of_channels(target, row, fmt, output)


def _of_word(target: Target, row: Row, fmt: FixedPoint | PerChannel, output: Format) -> Iterator[Misfit]:
    possible = target.bits(row.kind)
    if fmt.word_length not in possible:
        yield Misfit(
            row.name,
            f"has {fmt.word_length} bits, and {target.title} takes {described(possible)} for "
            f"{'weights' if row.kind in ('weight', 'bias') else 'activations'}",
            _proposal(target, row, target.nearest(fmt.word_length, row.kind)),
        )
    elif row.kind == "weight" and output is not None and not target.wider_weights:
        weight, activation = storage(fmt.word_length), storage(output.word_length)
        if weight > activation:
            yield Misfit(
                row.name,
                f"has {weight} bits where {row.layer!r} has {activation}, and {target.title} multiplies {weight}-bit "
                f"weights with {weight}-bit activations only",
                _proposal(target, row, activation),
            )


def _of_channels(target: Target, row: Row, fmt: PerChannel, output: Format) -> Iterator[Misfit]:
    longest = target.per_channel.get(row.operation, 0)
    if not longest:
        others = f"; of {_or(tuple(target.per_channel))} it can" if target.per_channel else ""
        reason = f"has a window for each channel, and {target.title} takes one for the whole weight{others}"
    elif output is not None and output.word_length > longest:
        reason = (
            f"has a window for each channel, which {target.title} takes of {row.operation} only where the activations "
            f"have at most {longest} bits"
        )
    else:
        return
    yield Misfit(row.name, reason, _proposal(target, row, fmt.word_length))


def described(bits: frozenset[int]) -> str:
    """Give word lengths as people say them.

    Examples
    --------
    >>> described(frozenset([8, 16])), described(frozenset(range(2, 9))), described(frozenset([8]))
    ('8 or 16 bits', '2 to 8 bits', '8 bits')
    """
    ordered = sorted(bits)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]} bits"
    return f"{_or(tuple(map(str, ordered)))} bits"


def _or(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _proposal(target: Target, row: Row, word_length: int = 8) -> str:
    return f"plan.propose({word_length}, names=[{row.name!r}], target={target.name!r})"


def _replacement(row: Row, **fields: str) -> str:
    ((field, value),) = fields.items()
    return f"plan[{row.name!r}] = dataclasses.replace(plan[{row.name!r}], {field}={value!r})"
