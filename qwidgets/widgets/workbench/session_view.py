"""What the parts of the workbench have in common that follow a session, beside the plan that is in it."""

from qwidgets.session import Listener, Session
from qwidgets.widgets.controls import PlanView


class SessionView(PlanView, Listener):
    """A view of a session and its plan; the workbench calls what it overrides of a listener as things happen.

    Attributes
    ----------
    session
        Its network must have been captured.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        super().__init__(session.plan)

    def _show_selection(self) -> None:
        """Draw which tensors are selected; most of these views show nothing of it."""
