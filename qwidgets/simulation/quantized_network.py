"""The network with its plan applied, computed as integer hardware would compute it.

:func:`quantize` captures the model once more and decides for each operation whether it works on integer codes (see
:mod:`qwidgets.simulation.rules`) or in float between two formats. The model itself is never changed.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor, nn

from qwidgets.errors import PlanError
from qwidgets.network import AutocastScope, Network, capture, unwrapped
from qwidgets.simulation.program import Observer, Parameter, Program
from qwidgets.tuning import NONE, Adjustments, Format, PlanState


def quantize(model: nn.Module, plan: PlanState, accumulator_bits: int = 32) -> "QuantizedNetwork":
    """Give a copy of a network that computes with the plan's committed formats, exactly as integer hardware would.

    Parameters
    ----------
    model
        The network that the plan is of. It is not changed.
    plan
        Its committed formats count; drafts do not. Tensors that the plan keeps in float stay in float.
    accumulator_bits
        Width of the registers that sums are computed in, the sign bit counted. Sums that do not fit wrap around and
        are counted in :attr:`QuantizedNetwork.accumulator_overflows`.

    Raises
    ------
    PlanError
        The plan belongs to another network (what does not fit is named), or no accumulator has that width.
    CaptureError
        The model cannot be captured.

    Examples
    --------
    >>> from qwidgets.calibration import calibrate
    >>> layer = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    >>> plan = calibrate(layer, [torch.randn(8, 4)], progress=False).propose(word_length=8)
    >>> quantized = quantize(layer, plan)
    >>> codes = quantized(torch.randn(3, 4)) / plan["0"].step
    >>> bool((codes == codes.round()).all())
    True
    """
    network = plan.adjustments.applied(captured(model, plan))
    return QuantizedNetwork(unwrapped(model), network, plan.committed, accumulator_bits, plan.adjustments)


def captured(model: nn.Module, plan: PlanState) -> Network:
    """Give the network that a plan was made for: as it was captured last, unless the model has changed since.

    Raises
    ------
    PlanError
        The plan has no calibration, or is of another network.
    """
    if plan.calibration is None or plan.calibration.inputs is None:
        raise PlanError("this plan does not know what its network is fed; Plan.load(path, calibration) tells it")
    measured, inputs = plan.measured or plan.calibration, plan.calibration.inputs
    network, device = measured.captured, device_of(model)
    if network is None or network.inputs != inputs or not network.is_of(unwrapped(model), device):
        args, kwargs = inputs.example(device)
        network = capture(model, args, kwargs, inputs.free)
    planned, found = (
        {row.name: (row.kind, row.operation, row.shape) for row in rows} for rows in (plan.rows, network.rows)
    )
    differing = [name for name in {**planned, **found} if planned.get(name) != found.get(name)]
    if differing:
        listed = ", ".join(map(repr, differing[:5])) + (f" and {len(differing) - 5} more" if differing[5:] else "")
        raise PlanError(
            f"the plan is of another network than this {network.name}, they differ in {listed}; calibrate this one"
        )
    measured.captured = network
    return network


def device_of(model: nn.Module) -> torch.device:
    """Give the device on which a model's parameters and buffers lie; the CPU where it has none."""
    tensors = itertools.chain(model.parameters(), model.buffers()) if isinstance(model, nn.Module) else iter(())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


class QuantizedNetwork(nn.Module):
    """A network that computes with integer codes; :func:`quantize` makes it.

    It is called like the model and gives values, integer codes times their step, in the model's structure and float
    type (float64 where that does not hold the codes). It has the model's module paths, and a ``state_dict`` of the same
    names and values; loading one makes the codes anew. It moves between devices as any module does. It is for
    inference: always in eval mode, and no gradients flow.

    Attributes
    ----------
    network
        What was captured of the model, adjusted as the plan says.
    program
        The steps that compute it.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        formats: Mapping[str, Format],
        accumulator_bits: int = 32,
        adjustments: Adjustments = NONE,
    ) -> None:
        super().__init__()
        self.network = network
        self._formats = formats
        self._accumulator_bits = accumulator_bits
        self._adjustments = adjustments
        self.program = Program(network, formats, accumulator_bits, adjustments)
        self._on_device: dict[str | Parameter, Tensor] = {}
        _copy_modules(model, self, {})
        super().train(False)

    @property
    def codes(self) -> Mapping[str, Tensor]:
        """The integers of each weight and bias that has a format, int64, by row."""
        return MappingProxyType(self.program.codes)

    @property
    def adjustments(self) -> Adjustments:
        """What the plan changes of the network's numbers beside their formats."""
        return self._adjustments

    @property
    def float_islands(self) -> Mapping[str, str]:
        """The rows that are computed in float, each with the reason."""
        return MappingProxyType(self.program.float_islands)

    @property
    def accumulator_overflows(self) -> dict[str, int]:
        """How many sums did not fit their accumulator since the network was made, by row (those with any)."""
        counts = {row: accumulator.overflows for row, accumulator in self.program.accumulators.items()}
        return {row: count for row, count in counts.items() if count}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs.

        Raises
        ------
        DataError
            The arguments have not the structure, shapes or types that the network was calibrated with.
        """
        return self.run(args, kwargs)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], observe: Observer | None = None) -> Any:
        """Compute the outputs, and call ``observe(row, values)`` for each input and activation row on the way."""
        leaves = self.network.flatten(args, kwargs)
        with torch.no_grad(), AutocastScope.switched_off():
            return self.program.run(self, leaves, observe)

    def train(self, mode: bool = True) -> Self:
        """Do nothing: it is always in eval mode."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "QuantizedNetwork":
        return QuantizedNetwork(self, self.network, self._formats, self._accumulator_bits, self._adjustments)

    # What the program borrows while it runs

    def tensor(self, target: str) -> Tensor:
        """Give a parameter, a buffer or a constant of the graph, where the network is."""
        if target not in self._on_device:
            # What is made of others is made anew, of those that are there now.
            own = _tensor_at(self, target)
            tensor = own if own is not None else self.network.tensor_from(target, self.tensor)
            self._on_device[target] = tensor.to(self.device)
        return self._on_device[target]

    def values(self, parameter: Parameter) -> Tensor:
        """Give the values of a weight or bias row, where the network is."""
        if parameter not in self._on_device:
            self._on_device[parameter] = self.program.value(parameter.row).to(self.device)
        return self._on_device[parameter]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._on_device.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take over other weights, and make their codes."""
        result = super().load_state_dict(state_dict, strict, assign)
        self._on_device.clear()
        parameters = self._adjustments.parameters(self.network.parameters_from(self.tensor))
        self.network = replace(self.network, parameters=parameters)
        self.program = Program(self.network, self._formats, self._accumulator_bits, self._adjustments)
        return result


def _tensor_at(module: nn.Module, path: str) -> Tensor | None:
    """Give the parameter or buffer at a path of attributes; None if there is none."""
    *parents, name = path.split(".")
    for parent in parents:
        found = module._modules.get(parent)
        if found is None:
            return None
        module = found
    held = module._parameters.get(name)
    return held if held is not None else module._buffers.get(name)


def _copy_modules(source: nn.Module, target: nn.Module, copies: dict[int, Any]) -> None:
    """Give a module the tree of another: empty modules with copies of the parameters and buffers."""
    for name, parameter in source._parameters.items():
        if parameter is not None and id(parameter) not in copies:
            copies[id(parameter)] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
        target._parameters[name] = copies.get(id(parameter))
    for name, buffer in source._buffers.items():
        if buffer is not None and id(buffer) not in copies:
            copies[id(buffer)] = buffer.detach().clone()
        target._buffers[name] = copies.get(id(buffer))
    target._non_persistent_buffers_set = set(source._non_persistent_buffers_set)
    for name, child in source._modules.items():
        if child is not None and id(child) not in copies:
            copies[id(child)] = nn.Module()
            _copy_modules(child, copies[id(child)], copies)
        target._modules[name] = copies.get(id(child))
