"""The plan: the person's handle on the formats of a network."""

from qwidgets.plan.plan import Plan

__all__ = ["Plan"]
