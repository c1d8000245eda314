"""What a session can be made of."""

from torch import nn

from qwidgets.errors import PlanError
from qwidgets.plan import Plan
from qwidgets.session.samples import can_be_read_again


def check_arguments(model: object, data: object, evaluate: object, validation: object) -> None:
    """Refuse what is neither a network nor a plan, or what does not go with it.

    Raises
    ------
    PlanError
        The text says what is needed.
    """
    if isinstance(model, Plan):
        if data is not None and not can_be_read_again(data):
            raise PlanError(
                f"of a plan, data must be batches that can be read again and again, such as a DataLoader or a list, "
                f"not {data!r:.80}"
            )
    elif not isinstance(model, nn.Module):
        raise PlanError(f"Workbench shows a Plan or a torch.nn.Module, not {model!r:.80}")
    elif data is None:
        raise PlanError("Workbench(model, data) needs batches to calibrate with, such as a DataLoader")
    if evaluate is not None and not callable(evaluate):
        raise PlanError(f"evaluate must be a function of a network that gives a number, not {evaluate!r:.80}")
    if validation is not None and not can_be_read_again(validation):
        raise PlanError(
            f"validation must be batches that can be read again and again, such as a DataLoader or a list, not "
            f"{validation!r:.80}"
        )
