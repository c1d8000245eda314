"""Showing batches to a captured network in the place of the model.

A `Feeder` turns a batch into a call of the model, by the rules of `qwidgets.feeding.batches` or by a function of
the user's. Such a function gets a stand-in that is called like the model and runs the captured network.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.errors import CalibrationError, CaptureError, DataError
from qwidgets.feeding.batches import Call, call_of, to_device
from qwidgets.network import FreeSizes, Network, Observer, capture

Forward = Callable[[nn.Module, Any], object]


def device_for(model: nn.Module, device: str | torch.device | None) -> torch.device:
    """Give the device to run on: the one asked for, else the GPU that the model is on or the first one, else the CPU.

    Raises
    ------
    CalibrationError
        The device that is asked for is not there.
    """
    if device is None:
        own = next((tensor.device for tensor in model.parameters() if tensor.device.type != "cpu"), None)
        return own or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise CalibrationError(f"cannot run on {device!r}: {error}; pass device=None for what there is") from error
    return torch.device(device)


class OtherSizes(DataError):
    """A batch has other sizes than the network was captured for, and could be fed to it if those were ``free``."""

    def __init__(self, free: FreeSizes, text: str) -> None:
        super().__init__(text)
        self.free = free


class Feeder:
    """Captures a model with its first batch, and runs the network with it and the following ones.

    Parameters
    ----------
    model
        What is captured; it is never run itself.
    device
        Where batches are moved to.
    forward
        Called as ``forward(stand_in, batch)`` instead of the rules of `qwidgets.feeding.batches`.
    """

    def __init__(self, model: nn.Module, device: torch.device, forward: Forward | None) -> None:
        self._model = model
        self._device = device
        self._forward = forward

    def capture(self, batch: Any, free: FreeSizes = frozenset()) -> Network:
        """Capture the model with what it would be called with; ``free`` sizes may differ from batch to batch.

        Raises
        ------
        CaptureError, DataError
            See `qwidgets.network.capture`; DataError where the batch has not the type that the model needs.
        """
        args, kwargs = self._first_call(to_device(batch, self._device))
        try:
            return capture(self._model, args, kwargs, free)
        except CaptureError as error:
            if advice := _advice(self._model, args, kwargs):
                raise DataError(f"{advice}\nAs they are, {error}") from error
            raise

    def run(self, network: Network, batch: Any, observe: Observer) -> None:
        """Run the network with a batch.

        Raises
        ------
        CalibrationError
            The user's function did not call the model.
        DataError
            The batch has not the structure, the shapes or the types that the network was captured for, or needs;
            `OtherSizes` where it differs in sizes alone.
        """
        batch = to_device(batch, self._device)
        calls = 0

        def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            nonlocal calls
            calls += 1
            try:
                return network.run(args, kwargs, observe)
            except DataError as error:
                if varying := network.inputs.varying(args, kwargs):
                    raise OtherSizes(varying, str(error)) from None
                raise
            except RuntimeError as error:
                if advice := _advice(self._model, args, kwargs):
                    raise DataError(advice) from error
                raise

        if self._forward is None:
            call(*call_of(self._model, batch))
            return

        self._forward(_StandIn(self._model, call), batch)
        if not calls:
            raise CalibrationError(_NOT_CALLED)

    def _first_call(self, batch: Any) -> Call:
        if self._forward is None:
            return call_of(self._model, batch)

        def stop(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            raise _Called(args, kwargs)

        try:
            self._forward(_StandIn(self._model, stop), batch)
        except _Called as called:
            return called.args_of_it, called.kwargs_of_it
        raise CalibrationError(_NOT_CALLED)


_NOT_CALLED = "forward(model, batch) did not call the model that it was given, so there is nothing to count"


class _Called(BaseException):
    """Ends the user's function at its call of the model; no Exception, so that the function does not catch it."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args_of_it = args
        self.kwargs_of_it = kwargs


class _StandIn(nn.Module):
    """Is called like the model; everything else is the model's."""

    def __init__(self, model: nn.Module, call: Callable[[tuple[Any, ...], dict[str, Any]], Any]) -> None:
        super().__init__()
        self.__dict__.update(_model=model, _call=call)  # not as a submodule

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_model"], name)


def _advice(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Say that the inputs are to be converted to the type of the weights, if the model can be run with that."""
    weights = {tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()}
    given = {leaf.dtype for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
    floats = {dtype for dtype in given if dtype.is_floating_point}
    if len(weights) != 1 or floats == weights:
        return ""
    (wanted,) = weights

    def convert(leaf: Tensor) -> Tensor:
        return leaf.to(wanted) if leaf.is_floating_point() or not floats else leaf

    args, kwargs = pytree.tree_map_only(Tensor, convert, (args, kwargs))
    try:
        capture(model, args, kwargs).run(args, kwargs, lambda row, tensor: None)
    except Exception:
        return ""
    return (
        f"the inputs are {' and '.join(sorted(map(str, given)))} and the weights {wanted}: "
        f"convert the inputs, for instance with x.to({wanted})"
    )
