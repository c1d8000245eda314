"""Running a network over data, and what is remembered of each of its tensors.

`calibrate` feeds batches to a captured network and counts every tensor into a `BitHistogram`; the `Calibration` that it
gives is what windows are proposed from. It keeps a few kilobytes for each tensor whatever the amount of data, and a
copy of the weights, but never a value of the data. It knows nothing of formats beyond the door to `Plan`.
"""

import contextlib
import itertools
import warnings
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import nn
from tqdm.auto import tqdm

from qwidgets.calibration.batch_counts import BatchCounts
from qwidgets.calibration.calibration import Calibration
from qwidgets.calibration.interruption import finished_first
from qwidgets.calibration.ranks import Ranks, in_group
from qwidgets.errors import CalibrationError, CaptureError, DataError, QwidgetsError
from qwidgets.feeding import Feeder, Forward, OtherSizes, batches_of, device_for, length_of
from qwidgets.network import Network, find_sums, unwrapped
from qwidgets.progress import OnProgress


def calibrate(
    model: nn.Module,
    data: Iterable[Any],
    *,
    device: str | torch.device | None = None,
    forward: Forward | None = None,
    max_batches: int | None = None,
    progress: bool | OnProgress = True,
    merge_ranks: Literal["auto", True, False] = "auto",
    into: Calibration | None = None,
) -> Calibration:
    """Run a model over data, and count the values of each of its tensors.

    The model is captured with the first batch and run in eval mode, without gradients; it is left as it was. An
    interrupt ends the run after the batch at hand, gives what was counted, and warns that this is not all; a second one
    ends it at once, without that batch.

    Parameters
    ----------
    model
        Any module that ``torch.export`` takes; one that ``torch.compile`` or ``DataParallel`` wrapped is unwrapped. It
        may run under ``torch.autocast``; what is counted is what was computed.
    data
        An iterable of batches, such as a ``DataLoader``: tensors, (input, target) pairs, tuples, dicts;
        `qwidgets.feeding.batches` tells how each is fed. One tensor alone is one batch. Batches may differ in other
        sizes than their length where the network's code takes any; it is then captured once more.
    device
        Where to run: by default the GPU that the model is on, or the first one that there is, else the CPU.
    forward
        Called as ``forward(model, batch)`` to feed a batch otherwise; ``model`` is a stand-in that is called like the
        model. It is called once more for the first batch, up to its first call of the model.
    max_batches
        Stop after so many.
    progress
        Whether to show a bar; or a function that is called instead, after each batch, with "calibrate", how many
        batches are counted and how many there are (0 where the data does not say).
    merge_ranks
        Whether to add up the counts of all the processes of a ``torch.distributed`` group, so that each gets the sum;
        "auto" does so when there is one. Each process counts the data that it is given; one without any takes part.
    into
        What was counted before, of the same model: the counts are added to it, and it is what is given back. Of a
        group each process passes the same. Where there is no batch, it stays as it is.

    Raises
    ------
    CaptureError
        The model cannot be captured; the text names the line of its code.
    DataError
        The first batch is nothing that the model can be fed, or ``max_batches`` is no number of batches.
    CalibrationError
        There was no batch, or one failed, which the text names; the error's ``calibration`` has the batches before it,
        and nothing of the one that failed. Or another process failed or died, which the text names; or ``into`` is of
        another network or of other weights, the text names the difference, and it is unchanged. Or ``into`` or
        ``merge_ranks`` is nothing of what it may be.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> calibration = calibrate(model, [torch.randn(16, 4) for _ in range(3)], device="cpu", progress=False)
    >>> calibration["0"].count, calibration["0"].negative
    (384, 0)
    >>> list(calibration)
    ['input', '0.weight', '0.bias', '0', '2.weight', '2.bias', '2']
    """
    if merge_ranks not in ("auto", True, False):
        raise CalibrationError(f"merge_ranks is 'auto', True or False, not {merge_ranks!r}")
    ranks = Ranks() if in_group() and merge_ranks is not False else None
    if into is not None:
        Calibration.require(into)
    target = None if ranks else into  # of several processes each counts apart, and the sum is added
    begun = 0 if target is None else target.batches
    calibration = None
    try:
        with ranks or contextlib.nullcontext():
            total, shown = length_of(data, max_batches), progress is True and (ranks is None or ranks.rank == 0)
            try:
                with tqdm(total=total, unit="batch", disable=not shown) as bar:
                    for calibration in _steps(model, data, device, forward, max_batches, target):
                        bar.set_description(calibration.network, refresh=False)
                        bar.update(calibration.batches - begun - bar.n)
                        if callable(progress):
                            progress("calibrate", calibration.batches - begun, total or 0)
                        if ranks is not None:
                            ranks.check()
                            if into is not None and not calibration.batches:
                                into.check_same(calibration)
            except KeyboardInterrupt:
                if calibration is None:
                    raise
                warnings.warn(f"interrupted: {calibration!r} is what was counted until then", stacklevel=2)
            if ranks is None:
                return _there(into if calibration is None else calibration)
            counted = Calibration.from_ranks(ranks, calibration, device_for(model, device))
            return counted if into is None else into.extend(counted)
    except CalibrationError as error:
        error.calibration = calibration if error.calibration is None else error.calibration
        raise


def calibration_steps(
    model: nn.Module,
    data: Iterable[Any],
    *,
    device: str | torch.device | None = None,
    forward: Forward | None = None,
    max_batches: int | None = None,
    into: Calibration | None = None,
) -> Generator[Calibration, None, None]:
    """Do what `calibrate` does step by step, for who wants to look at it in between or to stop it.

    Parameters
    ----------
    model, data, device, forward, max_batches, into
        See `calibrate`.

    Yields
    ------
    Calibration
        Always the same one: first after the capture, with no batch counted, then after each batch. It may be read at
        any time, from other threads too.

    Raises
    ------
    CaptureError, DataError, CalibrationError
        See `calibrate`.
    """
    calibration = into
    for calibration in _steps(model, data, device, forward, max_batches, into):
        yield calibration
    _there(calibration)


def _steps(
    model: nn.Module,
    data: Iterable[Any],
    device: str | torch.device | None,
    forward: Forward | None,
    max_batches: int | None,
    into: Calibration | None,
) -> Iterator[Calibration]:
    """Do the work of `calibration_steps`, and nothing where there is no batch."""
    if into is not None:
        Calibration.require(into)
    model = unwrapped(model)
    place = device_for(model, device)
    feeder = Feeder(model, place, forward)
    total = length_of(data, max_batches)
    calibration: Calibration | None = None
    network: Network | None = None
    batches = itertools.islice(batches_of(data), max_batches)
    for index in itertools.count():
        try:
            batch = next(batches, _END)
            if batch is _END:
                break
            if network is None:
                known = None if into is None else into.inputs
                network = feeder.capture(batch, frozenset() if known is None else known.free)
        except Exception as error:
            raise _failed(index, error, calibration) from error
        if calibration is None:
            fresh = Calibration.from_network(model, network, place, total)
            calibration = fresh if into is None else into.extend(fresh)
            counts = BatchCounts(calibration)
            yield calibration
        with finished_first():
            try:
                try:
                    feeder.run(network, batch, counts.count)
                except OtherSizes as other:  # free from here on; what was counted before stays
                    network = _freed(feeder, network, batch, other)
                    calibration.widen(network.rows, network.inputs, find_sums(network))
                    calibration.captured = network
                    counts = BatchCounts(calibration)
                    feeder.run(network, batch, counts.count)
            except Exception as error:
                raise _failed(index, error, calibration) from error
            counts.hand_over(last=index + 1 == total)
        yield calibration
    if calibration is not None:
        calibration.complete = True


def _freed(feeder: Feeder, network: Network, batch: Any, other: OtherSizes) -> Network:
    """Capture the model once more, for the sizes that this batch and those before it have."""
    try:
        freed = feeder.capture(batch, network.inputs.free | other.free)
    except CaptureError as error:
        raise DataError(f"{other}, and it takes no other: {error}") from error
    if other.free - freed.inputs.free:
        raise DataError(f"{other}, and its code fixes that size: give batches of one size")
    return freed


_END = object()


def _failed(index: int, error: Exception, calibration: Calibration | None) -> QwidgetsError:
    """Say which batch failed, and hand over what was counted before."""
    if index == 0 and isinstance(error, QwidgetsError):
        return type(error)(f"batch 0: {error}")
    reason = str(error) if isinstance(error, QwidgetsError) else f"{type(error).__name__}: {error}"
    kept = f"\nWhat the {index} before it gave is in this error's .calibration." if index else ""
    failed = CalibrationError(f"batch {index} failed: {reason}{kept}")
    failed.calibration = calibration
    return failed


def _there(calibration: Calibration | None) -> Calibration:
    if calibration is None:
        raise CalibrationError("there is no batch in the data, so there is nothing to count; is the loader used up?")
    return calibration
