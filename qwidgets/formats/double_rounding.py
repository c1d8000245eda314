"""The rounding of kernels that rescale a sum in two steps: TFLite Micro's and those of CMSIS-NN, by default.

They divide a sum by 2^k with a multiplier of 32 bits and a shift: first by 2, a half up, then by 2^(k - 1), a half away
from zero. That differs from rounding once, a half away from zero, in two places: where k is 1, a negative half goes up;
and above that a positive sum that is one less than a half goes up as well.

Source: ``MultiplyByQuantizedMultiplier`` in tensorflow/lite/kernels/internal/common.cc, after gemmlowp's fixedpoint.h.
"""

import torch
from torch import Tensor


def before_double_rounding(sums: Tensor, steps: Tensor, step: float) -> Tensor:
    """Give values that, rounded once to steps of ``step``, a half away from zero, are what two steps make of sums.

    Parameters
    ----------
    sums
        Whole multiples of ``steps``, in a type that holds twice as many; what a clamp made of them may be no such
        multiple, and is rounded once.
    steps
        Powers of two, in a shape that can be multiplied with the sums.
    step
        That of the format, a power of two.

    Returns
    -------
    A tensor of the type and the shape of ``sums``.

    Examples
    --------
    >>> sums = torch.tensor([5.0, 6.0, -5.0, -6.0]).double()
    >>> before_double_rounding(sums, torch.ones(1), 4.0)  # 5 / 4 and 6 / 4 both become 2, -5 / 4 becomes -1
    tensor([ 6.,  6., -5., -6.], dtype=torch.float64)
    """
    steps = steps.to(sums)
    by_two = steps == step / 2
    quotients = torch.where(by_two, sums, sums + steps) / step
    is_tie = quotients - quotients.floor() == 0.5
    raised = is_tie & torch.where(by_two, sums < 0, (sums > 0) & (steps < step))
    return torch.where(raised, sums + torch.where(by_two, steps / 2, steps), sums)
