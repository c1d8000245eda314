"""What each operation does to integer codes, where it has an integer form.

A rule is asked before anything is computed: it is given what is known of the codes that enter, and gives what is known
of those that leave together with the function that computes them, or None where there is no integer form. Those are:

- Layers: products are summed at the product of the steps; the bias is aligned to that step, rounded as its own format
  says where it is finer.
- Sums, differences, concatenations, assignments to a part: the operands are aligned to the finest step among them.
  Where a sum in that step would not fit the accumulator, the finer operand is rounded to the finest in which it does,
  ties away from zero.
- Maxima, minima, choices by a mask: the operands are aligned in the same way.
- Products, and what is one in another spelling (``einsum``, ``addmm``): the steps multiply. A number in the program
  (``x * 0.3``, the slope of a leaky ReLU) is a constant of 15 magnitude bits, rounded to the nearest, ties away from
  zero; what it multiplies keeps all its bits.
- Two slopes (leaky ReLU, PReLU): what is negative is multiplied by such a constant, or by the codes of the slopes' row.
- Integers and booleans of at most 32 bits are codes of themselves where they become floats.
- Bounds (ReLU6, clamp): rounded to the step of what they bound, ties away from zero.
- Averages, hardswish, hardsigmoid: the exact sum or product is divided by the exact count, or by six, and the quotient
  is rounded once, to the format in which it leaves.

Values are carried in float32 or float64, always exactly; see :mod:`qwidgets.simulation.accumulation`.
"""

from qwidgets.simulation.rules import (  # noqa: F401  each registers its rules
    assignments,
    contractions,
    extremes,
    interpolation,
    pointwise,
    products,
    selection,
    slopes,
    sums,
    whole_numbers,
)
from qwidgets.simulation.rules.rule import RULES, Call, Exact, Operand, constant

__all__ = ["RULES", "Call", "Exact", "Operand", "constant"]
