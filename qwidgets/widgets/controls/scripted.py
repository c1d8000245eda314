"""What the widgets with a script of our own share. The scripts are in ``frontend/`` and are built into ``static/``."""

from pathlib import Path
from typing import Any

import anywidget

from qwidgets.widgets.controls.callbacks import DRAWING

STATIC = Path(__file__).parents[1] / "static"


def built(name: str) -> str:
    """Give the text of a script or a style: anywidget connects a path to every widget, so that none is ever freed."""
    return (STATIC / name).read_text(encoding="utf-8")


class Scripted(anywidget.AnyWidget):
    """A widget with a script of our own as ``_esm``, and perhaps a style as ``_css``."""

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Give all of the state: the script is a default, too, and a page without it shows nothing."""
        state: dict[str, Any] = super().get_state(key)
        return state

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what the browser says, whole; see `heard_whole`."""
        with DRAWING:
            super().set_state(sync_data)
