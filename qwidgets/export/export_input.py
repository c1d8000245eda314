"""What every export begins with: the network under its committed formats, and the package that the target needs."""

from importlib import import_module
from types import ModuleType

from torch import nn

from qwidgets.errors import ExportError, ExtraError, PlanError
from qwidgets.simulation import QuantizedNetwork, quantize
from qwidgets.tuning import PlanState


def committed_network(plan: PlanState, model: nn.Module | None = None) -> QuantizedNetwork:
    """Give the network as the committed formats make it.

    Raises
    ------
    PlanError
        There are drafts, which would not be exported; or the plan does not know its network, or is of another one.
    """
    if plan.drafts:
        first = next(iter(plan.drafts))
        raise PlanError(
            f"only what is committed is exported, and {len(plan.drafts)} drafts are not, {first!r} among them; "
            "commit() or revert() them first"
        )
    return quantize(plan.network_of(model), plan)


def network_of_fixed_sizes(plan: PlanState, model: nn.Module | None, consumer: str) -> QuantizedNetwork:
    """Give the same for a consumer that makes something of one size only; the batch may differ.

    Raises
    ------
    PlanError
        See `committed_network`.
    ExportError
        The plan is of statistics over inputs of several sizes.
    """
    quantized = committed_network(plan, model)
    for node in quantized.network.given:
        # Inputs alone tell: further in, a batch that is turned to another dimension is free there.
        if None in node.shape[1:]:
            sizes = ", ".join("any" if size is None else str(size) for size in node.shape)
            raise ExportError(
                f"{node.slot or node.target!r} has no fixed size, ({sizes}), which {consumer} needs; calibrate with "
                "batches of one size"
            )
    return quantized


def required(package: str, extra: str) -> ModuleType:
    """Import a package that only some exports need.

    Raises
    ------
    ExtraError
        It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ExtraError(f"this export needs {package} ({error}); pip install 'qwidgets[{extra}]' brings it") from error
