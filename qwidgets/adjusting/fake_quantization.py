"""Fake quantization: a network under its formats as a module to be trained, with the numbers of the integers.

What goes forward are the values that the integers give, bit for bit. What comes back are the gradients of the network
in float that rounds as its formats say (`LearnedNetwork`): a training loop sees the network as hardware computes it.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(2018), for training with the rounding of inference in the forward pass.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.adjusting.bias_correction import counted
from qwidgets.adjusting.learned_network import LearnedNetwork
from qwidgets.adjusting.learned_weights import WIDEST, as_adjustments, begin, learnable, wide_type
from qwidgets.errors import PlanError
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import AutocastScope, Network
from qwidgets.simulation import Parameter, Program, captured
from qwidgets.tuning import ACCUMULATOR_BITS, Adjustments, PlanState


def fake_quantized(plan: PlanState, model: nn.Module | None = None) -> nn.Module:
    """Give the network under a plan's committed formats as a module whose weights can be trained. Drafts do not count.

    It is called like the model, and gives what :func:`qwidgets.quantize` gives, bit for bit, also after its weights
    have changed. Gradients pass what is rounded as if it were not, and stop where it saturates. It computes as in eval
    mode, whatever its mode: batch norms are folded in, and dropout is idle.

    Its parameters are the weights and biases of the plan, by the names of their rows, in float32 or wider. Those that
    are locked, weights in float and weights of more than 16 bits stay as they are: they ask for no gradient.
    :meth:`qwidgets.Plan.take_weights` puts what was trained into the plan.

    Parameters
    ----------
    plan
        Neither it nor the model is changed.
    model
        The network that the plan is of, where it is not the one that was calibrated just now.

    Raises
    ------
    PlanError
        The plan is of another network, or does not know its own; or none of its weights and biases can be trained.

    Examples
    --------
    >>> import torch
    >>> from qwidgets import calibrate
    >>> layer, x = torch.nn.Sequential(torch.nn.Linear(4, 2)), torch.randn(8, 4)
    >>> plan = calibrate(layer, [x], progress=False).propose(word_length=4)
    >>> module = fake_quantized(plan)
    >>> [name for name, _ in module.named_parameters()]
    ['0.weight', '0.bias']
    >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    >>> for _ in range(20):
    ...     optimizer.zero_grad()
    ...     (module(x) - layer(x)).square().mean().backward()
    ...     optimizer.step()
    >>> plan.take_weights(module, "trained for 20 turns").note
    'trained for 20 turns'
    """
    network = captured(plan.network_of(model), plan)
    return FakeQuantized(network, plan)


class FakeQuantized(nn.Module):
    """A network under a plan's formats, to be trained; :func:`fake_quantized` makes it.

    Parameters
    ----------
    original
        The network as it was captured.
    plan
        A copy of it is kept.
    """

    def __init__(self, original: Network, plan: PlanState) -> None:
        super().__init__()
        self._source = _Source(original, plan)
        for row, values in self._source.values.items():
            self._put(row, nn.Parameter(values.clone(), requires_grad=row in self._source.learnable))
        self._exact: _Exact | None = None
        self._known: tuple[object, ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs.

        Raises
        ------
        DataError
            The arguments have not the structure, shapes or types that the network was calibrated with.
        """
        leaves = self._source.network.flatten(args, kwargs)
        values = dict(self.named_parameters())
        exact: dict[str, Tensor] = {}
        integers = self._exact_of(values)
        with torch.no_grad():
            outputs = integers.run(leaves, exact)
        if not torch.is_grad_enabled():
            return outputs
        # In float, but that each row goes on with what the integers have: gradients pass through it.
        learned = LearnedNetwork(
            self._source.network,
            integers.formats,
            {
                row: self._source.as_stored(row, value)
                if row in self._source.learnable
                else integers.values(Parameter(row))
                for row, value in values.items()
            },
            frozenset(),
            integers.device,
            settle=lambda row, rounded: _as_computed(rounded, exact[row].to(rounded.dtype)),
        )
        return pytree.tree_map(_as_computed, learned.run(leaves, lambda row, values: None), outputs)

    def learned(self) -> dict[str, Tensor]:
        """Give the values of the weights and biases that can be trained, by row."""
        return {row: value.detach() for row, value in self.named_parameters() if row in self._source.learnable}

    def adjustments(self, plan: PlanState) -> Adjustments | None:
        """Give what was trained as adjustments of a plan; None where nothing was.

        Raises
        ------
        PlanError
            The plan has committed other formats, or was adjusted otherwise, than the module was made for; or a value is
            not finite.
        """
        source = self._source
        if plan.committed != source.plan.committed or plan.adjustments is not source.plan.adjustments:
            raise PlanError("the module was made for other formats than are committed now; make one anew of this plan")
        learned = self.learned()
        for row, values in learned.items():
            if not bool(values.isfinite().all()):
                count = int(values.isfinite().logical_not().sum())
                raise PlanError(
                    f"{count} of the {values.numel()} values of {row!r} are not finite any more; train it again with "
                    f"smaller steps"
                )
        if all(torch.equal(values.cpu(), source.values[row]) for row, values in learned.items()):
            return None
        wide = {row: source.as_stored(row, values).double() for row, values in learned.items()}
        return counted(plan, source.original, as_adjustments(wide, source.network, plan, source.bare))

    def __deepcopy__(self, memo: dict[int, Any]) -> "FakeQuantized":
        twin = FakeQuantized(self._source.original, self._source.plan)
        twin.load_state_dict(self.state_dict())
        for mine, its in zip(self.parameters(), twin.parameters(), strict=True):
            its.data = its.data.to(mine)
            its.requires_grad_(mine.requires_grad)
        return twin.train(self.training)

    def _put(self, row: str, parameter: nn.Parameter) -> None:
        """Hold a parameter under the name of its row."""
        *path, name = row.split(".")
        module: nn.Module = self
        for part in path:
            if part not in module._modules:
                module._modules[part] = nn.Module()
            held = module._modules[part]
            assert held is not None
            module = held
        module._parameters[name] = parameter

    def _exact_of(self, values: Mapping[str, nn.Parameter]) -> "_Exact":
        """Give what computes in integers with the weights as they are now."""
        known = tuple((value.data_ptr(), value._version, value.dtype, value.device) for value in values.values())
        if self._exact is None or known != self._known:
            device = next(value.device for value in values.values())
            self._exact, self._known = _Exact(self._source, values, device), known
        return self._exact


class _Source:
    """What a module is made of.

    Attributes
    ----------
    original, network
        As captured, and as the plan has adjusted it.
    plan
        A copy, which nobody changes.
    learnable
        The rows that can be trained.
    bare
        The weights and biases without any shift.
    values
        Where they begin, in float32 or wider.
    """

    def __init__(self, original: Network, plan: PlanState) -> None:
        self.original, self.plan = original, plan.copy()
        self.network = plan.adjustments.applied(original)
        self.bare = dataclasses.replace(plan.adjustments, shifts={}).parameters(original.parameters)
        formats = Program(self.network, plan.committed, ACCUMULATOR_BITS, plan.adjustments).formats
        self.learnable = learnable(self.network, formats, plan)
        if not self.learnable:
            raise PlanError(
                f"no weight or bias has a format of at most {WIDEST} bits and is not locked, so there is nothing to "
                f"train; plan.propose() and plan.commit() give formats"
            )
        began = begin(self.network, plan)
        values = {row: began[row] if row in self.learnable else value for row, value in self.network.parameters.items()}
        self.values = {row: value.detach().to(wide_type(value)) for row, value in values.items()}

    def as_stored(self, row: str, values: Tensor) -> Tensor:
        """Give the values of a row as the plan would keep them: a bias in its own float type, a weight by its codes."""
        is_weight = row in self.learnable and self.plan.row(row).kind != "bias"
        return values if is_weight else values.to(self.network.parameters[row].dtype)

    def codes(self, row: str, fmt: FixedPoint | PerChannel, values: Tensor) -> Tensor:
        """Give the codes of a row: the nearest, but of what is not trained as the plan rounds it."""
        if row in self.learnable:
            return fmt.to_integer(values)
        return self.plan.adjustments.codes(row, fmt, self.network.parameters[row])


class _Exact:
    """A network in integers with the weights that a module has now; it is where its program finds tensors."""

    def __init__(self, source: _Source, values: Mapping[str, Tensor], device: torch.device) -> None:
        self.device = device
        parameters = {row: source.as_stored(row, value.detach().cpu()) for row, value in values.items()}
        self._network = dataclasses.replace(source.network, parameters=parameters)
        self._program = Program(self._network, source.plan.committed, ACCUMULATOR_BITS, source)
        self._kept: dict[str | Parameter, Tensor] = {}

    @property
    def formats(self) -> Mapping[str, FixedPoint | PerChannel | None]:
        """Of each row; of a bias at its accumulator the one that it has there."""
        return self._program.formats

    def tensor(self, target: str) -> Tensor:
        """Give a parameter or buffer of the network that no row holds."""
        if target not in self._kept:
            self._kept[target] = self._network.tensor(target).to(self.device)
        return self._kept[target]

    def values(self, parameter: Parameter) -> Tensor:
        """Give the values of a weight or bias as the integers have them."""
        if parameter not in self._kept:
            self._kept[parameter] = self._program.value(parameter.row).to(self.device)
        return self._kept[parameter]

    def run(self, leaves: list[Any], found: dict[str, Tensor]) -> Any:
        """Compute the outputs, and find the values of each input and activation row."""
        with AutocastScope.switched_off():
            return self._program.run(self, leaves, found.__setitem__)


class _Computed(torch.autograd.Function):
    """One tensor forward, and the gradient to another."""

    @staticmethod
    def forward(ctx: Any, learned: Tensor, exact: Tensor) -> Tensor:
        ctx.dtype = learned.dtype
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].to(ctx.dtype), None


def _as_computed(learned: Any, exact: Any) -> Any:
    """Go on with what the integers give, and let gradients pass to what can be learned from."""
    if isinstance(learned, Tensor) and learned.requires_grad:
        return _Computed.apply(learned, exact)  # type: ignore[no-untyped-call]
    return exact
