"""What of a plan does not fit a target: every reason on a line of its own, with what can be done about it."""

from collections.abc import Iterable, Iterator

import pandas as pd
from torch import nn

from qwidgets.errors import FormatError, PlanError
from qwidgets.pictures import format_text
from qwidgets.simulation import Program, captured
from qwidgets.targets import format_rules, graph_rules, pair_sums
from qwidgets.targets.format_rules import Misfit
from qwidgets.targets.registry import find
from qwidgets.targets.target import Target
from qwidgets.tuning import PlanState

COLUMNS = ["name", "kind", "format", "reason", "remedy"]


def check(plan: PlanState, target: str | Target, model: nn.Module | None = None) -> pd.DataFrame:
    """Say what of a plan does not fit a target.

    Drafts count, as in :meth:`qwidgets.plan.Plan.preview`, so that a person sees what a change does.

    Parameters
    ----------
    target
        A name of :data:`qwidgets.targets.TARGETS`, or a `Target`.
    model
        The network that the plan is of, where it is not the one that was calibrated just now.

    Returns
    -------
    pandas.DataFrame
        Indexed by name, a row for each reason: ``kind``, ``format``, ``reason``, ``remedy``. Empty where all fits.
        What operations are fused, the shifts between formats and the integers of biases are seen in the network only;
        where it is not known, one line says that they were not looked at, under the network's name and of kind
        ``network``.

    Raises
    ------
    PlanError
        There is no such target, or the model is of another network.
    """
    target = find(target)
    found = list(_of_formats(plan, target))
    if model is None and plan.model is None:
        found.append(
            Misfit(
                None,
                "this plan does not know its network, so shifts, biases and fused operations were not looked at",
                f"plan.check({target.name!r}, model)",
            )
        )
    else:
        found += _of_network(plan, target, plan.network_of(model))
    return _table(plan, found)


def check_formats(plan: PlanState, target: str | Target) -> pd.DataFrame:
    """As :func:`check`, but for each format by itself, which takes no time: the network is not looked at."""
    return _table(plan, _of_formats(plan, find(target)))


def _of_formats(plan: PlanState, target: Target) -> Iterator[Misfit]:
    formats = {name: plan[name] for name in plan}
    for row in plan.rows:
        yield from format_rules.of_operation(target, row)
        yield from format_rules.of_format(target, row, formats[row.name], formats.get(row.layer))


def _of_network(plan: PlanState, target: Target, model: nn.Module) -> Iterator[Misfit]:
    network = plan.adjustments.applied(captured(model, plan))
    formats = {name: plan[name] for name in plan}
    try:
        program = Program(network, formats, 32, plan.adjustments)
    except (PlanError, FormatError) as error:
        yield Misfit(None, str(error), "choose another format for what is named")
        return
    of_rows = [
        *graph_rules.of_fused_operations(target, network, program),
        *graph_rules.of_shifts(target, network, program),
        *graph_rules.of_biases(target, network, program, formats),
        *graph_rules.of_words(target, program),
        *graph_rules.of_shared(target, network, formats),
        *graph_rules.of_float_islands(target, network, program),
        *pair_sums.of_pair_sums(target, network, program),
    ]
    yield from (misfit for misfit in of_rows if misfit.name in plan)  # what nothing uses has no row


def _table(plan: PlanState, found: Iterable[Misfit]) -> pd.DataFrame:
    order = {name: place for place, name in enumerate(plan)}
    records = [
        (plan.network, "network", "", misfit.reason, misfit.remedy)
        if misfit.name is None
        else (misfit.name, plan.row(misfit.name).kind, format_text(plan[misfit.name]), misfit.reason, misfit.remedy)
        for misfit in sorted(found, key=lambda misfit: len(order) if misfit.name is None else order[misfit.name])
    ]
    return pd.DataFrame.from_records(records, columns=COLUMNS).astype("str").set_index("name")
