"""What is remembered of the tensors of a network that was shown data.

A `Calibration` keeps a bit histogram of each tensor, a few kilobytes whatever the amount of data, and a copy of the
weights; never a value of the data. It merges, saves and loads, and is the door to `Plan`.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from qwidgets.calibration import calibration_file
from qwidgets.calibration.counted import WHOLE_BATCHES, Counted
from qwidgets.calibration.interruption import undisturbed
from qwidgets.calibration.ranks import Ranks
from qwidgets.errors import CalibrationError, DataError
from qwidgets.histograms import BitHistogram
from qwidgets.network import InputSpec, Network, Row, Sum, difference, digest_of, find_sums, widened

if TYPE_CHECKING:
    from qwidgets.plan import Plan


class Calibration(Counted):
    """The bit histogram of every tensor of a network over the data that it was shown.

    It merges, saves and loads, and proposes formats; what it knows is in :class:`Counted`.
    """

    planner: "ClassVar[Callable[..., Plan]]"
    """Makes a plan of a calibration; the module of the plan, which lies above this one, sets it."""

    @classmethod
    def from_network(cls, model: nn.Module, network: Network, device: torch.device, total_batches: int | None) -> Self:
        """Begin one for a network: its weights are counted, its data is not."""
        histograms = {row.name: BitHistogram() for row in network.rows}
        for name, values in network.parameters.items():
            histograms[name].update(values)
        return cls(
            network.name,
            network.digest,
            network.rows,
            network.inputs,
            histograms,
            device=str(device),
            total_batches=total_batches,
            parameters={name: values.detach().cpu() for name, values in network.parameters.items()},
            model=model,
            sums=find_sums(network),
            captured=network,
        )

    @classmethod
    def from_ranks(cls, ranks: Ranks, own: Self | None, device: torch.device) -> Self:
        """Give the sum of what all processes counted, the same in each.

        Parameters
        ----------
        ranks
            The context in which this process counted.
        own
            What it counted; None if it had no data.
        device
            Where it ran.

        Raises
        ------
        CalibrationError
            None had any data, another process failed or died, or they ran different networks; the text names who or
            what.
        """
        facts = ranks.gathered(
            None if own is None else (own.device, own.batches, own.total_batches, own.complete, own._free_sizes())
        )
        holders = [rank for rank, fact in enumerate(facts) if fact is not None]
        if not holders:
            raise CalibrationError("no process was given any batch, so there is nothing to count")
        lacking = len(holders) < ranks.size
        outline = None if own is None else own._without_data(parameters=lacking)
        common: Self = ranks.from_rank(holders[0], outline, device)
        own = common if own is None else own
        common.check_same(own)
        names = [name for name in own if name not in own._constant]
        sums = ranks.summed([own[name] for name in names], device)
        devices, batches, totals, complete, sizes = zip(*(facts[rank] for rank in holders), strict=True)
        total = cls(
            own.network,
            own.digest,
            own.rows,
            own.inputs,
            own._histograms | dict(zip(names, sums, strict=True)),
            device=", ".join(dict.fromkeys(devices)),
            batches=sum(batches),
            total_batches=_sum(totals),
            complete=all(complete),
            parameters=own.parameters,
            model=own.model,
            sums=own.sums,
            captured=own.captured,
        )
        for each in sizes:
            total._take_free_sizes(each)
        return total

    def _free_sizes(self) -> list[Any]:
        """Give what `widen` asks for as plain lists, for another process that counts the same rows."""
        try:
            inputs = None if self.inputs is None else self.inputs.to_json()
        except DataError:
            inputs = None
        return [[row.shape for row in self.rows], inputs, [each.terms for each in self.sums]]

    def _take_free_sizes(self, sizes: list[Any]) -> None:
        shapes, inputs, terms = sizes
        self.widen(
            [dataclasses.replace(row, shape=tuple(shape)) for row, shape in zip(self.rows, shapes, strict=True)],
            None if inputs is None else InputSpec.from_json(inputs),
            tuple(dataclasses.replace(each, terms=count) for each, count in zip(self.sums, terms, strict=True)),
        )

    def widen(self, rows: Iterable[Row], inputs: InputSpec | None, sums: tuple[Sum, ...]) -> None:
        """Let sizes differ from batch to batch that do so in another capture of the network.

        Raises
        ------
        CalibrationError
            The other capture has other rows; the text names the first.
        """
        rows = tuple(rows)
        if what := difference(self.rows, rows):
            raise CalibrationError(f"{self.network} does something else for a batch of other sizes: {what}")
        if widened(self.rows, rows) == self.rows:
            return
        self.rows = widened(self.rows, rows)
        self.digest = digest_of(self.rows)
        self._rows = {row.name: row for row in self.rows}
        self.inputs = None if self.inputs is None or inputs is None else self.inputs.widened(inputs)
        self.sums = tuple(
            dataclasses.replace(mine, terms=mine.terms if mine.terms == its.terms else None)
            for mine, its in zip(self.sums, sums, strict=True)
        )

    def _without_data(self, parameters: bool) -> Self:
        return type(self)(
            self.network,
            self.digest,
            self.rows,
            self.inputs,
            {name: self[name] if name in self._constant else BitHistogram() for name in self},
            device=self.device,
            parameters=self.parameters if parameters else {},
            sums=self.sums,
        )

    def with_values(
        self, parameters: Mapping[str, Tensor], histograms: Mapping[str, BitHistogram] = MappingProxyType({})
    ) -> "Calibration":
        """Give the statistics of the same network with other weights and biases: those that differ are counted.

        Parameters
        ----------
        parameters
            The values of weight and bias rows; those that are not among them stay as they are.
        histograms
            What other rows are now.
        """
        values = {name: tensor.detach().cpu() for name, tensor in parameters.items()}
        counted = {
            name: BitHistogram().update(tensor)
            for name, tensor in values.items()
            if name not in self.parameters or not torch.equal(tensor, self.parameters[name])
        }
        return Calibration(
            self.network,
            self.digest,
            self.rows,
            self.inputs,
            {**self._histograms, **counted, **histograms},
            device=self.device,
            batches=self.batches,
            total_batches=self.total_batches,
            complete=self.complete,
            parameters={**self.parameters, **values},
            model=self.model,
            sums=self.sums,
            captured=self.captured,
        )

    def merge(self, other: "Calibration") -> "Calibration":
        """Give the statistics of both together, as if one had seen the data of both. Weights are counted once.

        Raises
        ------
        CalibrationError
            The other one is of another network or of other weights; the text names the difference.
        """
        self.check_same(other)
        with WHOLE_BATCHES:
            total = Calibration(
                self.network,
                self.digest,
                self.rows,
                self.inputs,
                {name: self[name] if name in self._constant else self[name] + other[name] for name in self},
                device=self.device if self.device == other.device else f"{self.device}, {other.device}",
                batches=self.batches + other.batches,
                total_batches=_sum((self.total_batches, other.total_batches)),
                complete=self.complete and other.complete,
                parameters=self.parameters or other.parameters,
                model=self.model or other.model,
                sums=self.sums or other.sums,
                captured=self.captured or other.captured,
            )
        total.widen(other.rows, other.inputs, other.sums or total.sums)
        return total

    def extend(self, other: "Calibration") -> Self:
        """Add what the other one counted, as if it went on where this one ended, and give this one back.

        Raises
        ------
        CalibrationError
            See `merge`; this one is then unchanged.
        """
        self.check_same(other)
        sums = {name: self[name] + other[name] for name in self._rows.keys() - self._constant}
        with undisturbed(), WHOLE_BATCHES:
            self._histograms |= sums
            self.total_batches = _sum((self.batches, other.total_batches))
            self.batches += other.batches
            self.complete = other.complete
            self.parameters = self.parameters or other.parameters
            self.model = self.model or other.model
            self.sums = self.sums or other.sums
            self.captured = other.captured or self.captured
            self.widen(other.rows, other.inputs, other.sums or self.sums)
            if other.device not in self.device.split(", "):
                self.device += f", {other.device}"
        return self

    def check_same(self, other: "Calibration") -> None:
        """Do nothing if both are statistics of one network with the same weights.

        Raises
        ------
        CalibrationError
            They are not; the text names the difference.
        """
        self.require(other)
        what = difference(self.rows, other.rows)
        changed = [name for name in self._constant if not what and self[name] != other[name]]
        if changed:
            what = f"the values of {min(changed)} differ, so these are other weights"
        if what:
            raise CalibrationError(
                f"statistics of {self.network} and of {other.network} do not belong together: {what}"
            )

    @staticmethod
    def require(given: object) -> None:
        """Do nothing for a calibration, and raise a CalibrationError for anything else."""
        if not isinstance(given, Calibration):
            raise CalibrationError(f"expected what calibrate() gives, a Calibration, not {type(given).__name__}")

    def propose(self, word_length: int = 8, scheme: str = "mse", **options: Any) -> "Plan":
        """Give a plan of the formats that a scheme proposes, committed.

        What masks the scores of an attention (0 and -inf, say) stays in float, and so do the scores that it is added
        to; the note of the commit names them.

        Parameters
        ----------
        word_length
            Bits of each format.
        scheme
            A name in `qwidgets.schemes.SCHEMES`: "minmax", "mse", "histogram", "percentile", or a registered one.
        options
            ``per_channel``, ``target``, ``accumulator_bits`` and what the scheme takes; see
            :meth:`qwidgets.Plan.propose`.
        """
        return Calibration.planner(self, word_length, scheme, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a safetensors file, in the place of what is there once all is written.

        Raises
        ------
        FileError
            The file cannot be written; what was there before is unchanged.
        """
        with WHOLE_BATCHES:
            histograms = {name: self[name] + BitHistogram() for name in self}
            facts = {
                "network": self.network,
                "digest": self.digest,
                "device": self.device,
                "batches": self.batches,
                "total_batches": self.total_batches,
                "complete": self.complete,
                "sums": [dataclasses.asdict(each) for each in self.sums],
            }
        calibration_file.write(path, facts, self.rows, self.inputs, histograms, self.parameters)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        FileError
            There is no such file, it is damaged, of a later version, or not one of these.
        """
        facts, rows, inputs, histograms, parameters = calibration_file.read(path)
        return cls(rows=rows, inputs=inputs, histograms=histograms, parameters=parameters, **facts)


def _sum(totals: Iterable[int | None]) -> int | None:
    """Add up; not known if one is not."""
    known = list(totals)
    return None if None in known else sum(total for total in known if total is not None)
