"""A network in integers, exactly as integer hardware computes it: one rule an operation."""

from qwidgets.simulation.accumulation import Accumulator, Codes
from qwidgets.simulation.partial_run import PartialRun
from qwidgets.simulation.program import Parameter, Program
from qwidgets.simulation.quantized_network import QuantizedNetwork, captured, device_of, quantize
from qwidgets.simulation.rules import RULES, Operand
from qwidgets.simulation.rules.contractions import labels_of
from qwidgets.simulation.rules.rule import Call, Exact, constant, is_number
from qwidgets.simulation.rules.rule import rule as register_rule
from qwidgets.simulation.rules.whole_numbers import codes_of as whole_number_codes

__all__ = [
    "RULES",
    "Accumulator",
    "Call",
    "Codes",
    "Exact",
    "Operand",
    "Parameter",
    "PartialRun",
    "Program",
    "QuantizedNetwork",
    "captured",
    "constant",
    "device_of",
    "is_number",
    "labels_of",
    "quantize",
    "register_rule",
    "whole_number_codes",
]
