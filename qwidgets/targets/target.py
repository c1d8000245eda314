"""What is to be known of a consumer of integer networks before a plan can be made for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qwidgets.network import Kind

BiasRule = Literal["any", "aligned", "accumulator"]


@dataclass(frozen=True)
class Target:
    """The rules of one consumer. It is a value: a rule of your own is made with ``dataclasses.replace``.

    Attributes
    ----------
    name
        How it is asked for.
    title
        How it is called in sentences.
    source
        Where the facts are from.
    activation_bits, weight_bits
        The word lengths that inputs and activations can have, and weights. A target that stores bytes takes a shorter
        word where it can clip to it.
    unsigned, unsigned_weights
        Whether there are unsigned formats, and whether weights can have them, too.
    signed_only
        The operations that read and give signed formats only.
    roundings, overflows
        What it can do to values that it quantizes while it runs; first what is proposed.
    roundings_of
        The roundings of operations that have others than ``roundings``; "input" stands for the network's inputs.
    rounds_weights
        Whether it quantizes the weights itself, so that its rounding holds for them too. Otherwise it is given
        integers, which any rounding may have made.
    per_channel
        The operations whose weight may have a format for each output channel, and the longest activation that each
        takes then.
    wider_weights
        Whether a weight may have a longer word than what leaves its layer.
    mixes_words
        Whether what enters and what leaves an operation may be stored in different widths.
    shared
        The operations that read tensors of the window that their result has, and no other.
    bias
        "any": a bias has a format of its own. "aligned": it is stored at the step of its layer's sums, to which any
        format can be brought beforehand. "accumulator": it is rounded to that step and to nothing else.
    bias_bits
        The bits that a bias at that step is stored in, by the width (8, 16 or 32) that the activation is stored in.
    shifts
        By how many bits the sums of a layer can be shifted right, from and to; below zero is left. None: any.
    floats
        Whether tensors may stay in float.
    operations
        The operations that it computes as :func:`qwidgets.quantize` does, by their ATen names; None where that is for
        the export to say.
    pair_bits
        The bits in which it adds two products of bytes, and saturates; None where sums of bytes always fit.
    fuses
        The activation functions that it applies to the sums of the operation before them, without rounding in between;
        None for all that it has.
    """

    name: str
    title: str
    source: str
    activation_bits: frozenset[int]
    weight_bits: frozenset[int]
    unsigned: bool
    roundings: tuple[str, ...]
    overflows: tuple[str, ...]
    rounds_weights: bool
    per_channel: Mapping[str, int]
    wider_weights: bool
    mixes_words: bool
    shared: frozenset[str]
    bias: BiasRule
    bias_bits: Mapping[int, int]
    shifts: tuple[int, int] | None
    floats: bool
    operations: frozenset[str] | None
    pair_bits: int | None = None
    fuses: frozenset[str] | None = None
    roundings_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unsigned_weights: bool = True
    signed_only: frozenset[str] = frozenset()

    def bits(self, kind: Kind) -> frozenset[int]:
        """Give the word lengths that a kind of tensor can have; a bias that has a format of its own, a weight's."""
        return self.weight_bits if kind in ("weight", "bias") else self.activation_bits

    def nearest(self, word_length: int, kind: Kind) -> int:
        """Give the longest word that is no longer than what was asked for, or else the shortest that there is.

        Examples
        --------
        >>> from qwidgets.targets import TARGETS
        >>> [TARGETS["esp32s3"].nearest(bits, "activation") for bits in (4, 8, 12, 16, 24)]
        [8, 8, 8, 16, 16]
        """
        possible = self.bits(kind)
        return max((bits for bits in possible if bits <= word_length), default=min(possible))

    def quantizes(self, kind: Kind) -> bool:
        """Whether it rounds values of this kind itself."""
        return kind in ("input", "activation") or self.rounds_weights

    def rounds(self, operation: str) -> tuple[str, ...]:
        """Give how it can round what an operation gives, first what is proposed."""
        return self.roundings_of.get(operation, self.roundings)

    def computes(self, operation: str) -> bool:
        """Whether it has an operation, as far as that is known here."""
        return self.operations is None or operation in self.operations


def storage(bits: int) -> int:
    """Give the width of the integers that words are stored in."""
    return 8 if bits <= 8 else 16 if bits <= 16 else 32
