"""The committed formats, written for the tools that build with them: a tool, a path, and what was written or why not.

The exports are those that are registered; they run beside the notebook.
"""

from concurrent.futures import Future
from pathlib import Path

import ipywidgets

from qwidgets.errors import FileError
from qwidgets.export import EXPORTS, Export
from qwidgets.session import Pace
from qwidgets.widgets.controls import (
    bar,
    button,
    checkbox,
    choice,
    drawing,
    escaped,
    file_name,
    guarded,
    quiet,
    text_box,
)
from qwidgets.widgets.workbench.panel import register_panel
from qwidgets.widgets.workbench.session_view import SessionView


@register_panel("Export")
class ExportPanel(SessionView):
    """Writes what is committed for another tool.

    Attributes
    ----------
    tool, path, replace, write
        What to write for, where to, whether over what is there, and the button that does it.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._suggested = ""
        options = [(each.title, name) for name, each in EXPORTS.items()]
        self.tool = choice("for", options, self._on_tool, width=170)
        self.path = text_box("to", layout=ipywidgets.Layout(flex="1 1 200px", max_width="420px"))
        self.replace = checkbox("replace", tooltip="Write over a file that is there")
        self.write = button("Export", self._on_export, icon="download")
        self._about, self._done = quiet(), ipywidgets.HTML()
        self.add_class("qw-export")
        self._suggest()
        return bar(self.tool, self.path, self.replace, self.write), self._about, self._done

    def on_pace(self, pace: Pace | None) -> None:
        """Called as a job begins and when it is over: until then no export can."""
        if self.write.disabled is not self.session.working:
            self.refresh()

    def _show(self, changed: frozenset[str]) -> None:
        self.write.disabled = self.session.working

    @property
    def _export(self) -> Export:
        return EXPORTS[self.tool.value]

    def _suggest(self) -> None:
        """Name the file, unless the person did."""
        export = self._export
        if self.path.value == self._suggested:
            self._suggested = self.path.value = f"{file_name(self.plan.network)}{export.suffix or '-c'}"
        self.replace.layout.visibility = "visible" if export.suffix else "hidden"
        extra = f" Needs <code>qwidgets[{export.extra}]</code>." if export.extra else ""
        self._about.value = escaped(export.about) + extra
        self._done.value = ""

    @guarded
    def _on_tool(self, _: object) -> None:
        self._suggest()

    @guarded
    def _on_export(self, _: object) -> None:
        text = self.path.value.strip()
        if not text:
            raise FileError("write the name of a file into the box first")
        path = Path(text).expanduser()
        if self._export.suffix and path.exists() and not self.replace.value:
            raise FileError(f"{path} exists and is left alone; choose another name, or tick replace")
        self._done.value = f"writing {escaped(path)} …"
        self.write.disabled = True
        self.session.export(self._export.name, path).add_done_callback(self._on_done)

    @drawing
    def _on_done(self, future: "Future[str]") -> None:
        self._done.value = "nothing was written"
        done = future.result()
        self.clear_report()
        self._done.value = f"<div role='status' aria-live='polite'>{escaped(done)}</div>"
