"""Which rows of a network are worth a closer look: those that a side-by-side run shows to lose most."""

import pandas as pd

from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.tuning import PlanState

SUSPECTS = 4
"""Of so many layers, and of so many weights, each row is looked at more closely."""

MOST_DB = 60.0
"""An SQNR above this is as good as none at all."""


def suspects(plan: PlanState, sqnr_db: "pd.Series[float]") -> list[str]:
    """Name the rows of the layers at which the SQNR falls most and, since a bad layer hides later ones, bad weights.

    Parameters
    ----------
    sqnr_db
        Of each row in the network, as `qwidgets.validation.validate` gives it.

    Returns
    -------
    In the order of ``plan.rows``, those that have a format of their own.
    """
    activations = [row for row in plan.rows if row.kind in ("input", "activation")]
    levels = [min(sqnr_db[row.name], MOST_DB) for row in activations]
    falls = {
        row.layer: before - after for row, before, after in zip(activations, [MOST_DB, *levels], levels, strict=False)
    }
    layers = sorted(falls, key=falls.__getitem__, reverse=True)[:SUSPECTS]
    weights = sorted((row.name for row in plan.rows if row.kind == "weight"), key=sqnr_db.__getitem__)[:SUSPECTS]
    fixed = {row.name for row in plan.rows if isinstance(plan.committed[row.name], FixedPoint | PerChannel)}
    return [row.name for row in plan.rows if row.name in fixed and (row.layer in layers or row.name in weights)]
