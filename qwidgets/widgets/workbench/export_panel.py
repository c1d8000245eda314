"""The committed formats, written for the tools that build with them: a tool, a path, and what was written or why not.

The exports are those that are registered; they run in the background.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ipywidgets

from qwidgets.errors import FileError
from qwidgets.export import EXPORTS, Export
from qwidgets.plan import Plan
from qwidgets.session import JobQueue, Pace
from qwidgets.widgets.controls import PlanView, drawing, escaped, file_name, guarded

Data = Iterable[Any] | None


class ExportMenu(PlanView):
    """Writes what is committed for another tool.

    Parameters
    ----------
    plan
        What is exported; its drafts are not.
    on_done
        Called with a sentence about what was written.
    """

    def __init__(self, plan: Plan, on_done: Callable[[str], None]) -> None:
        self._on_done = on_done
        self._data: Data = None
        self._lane = JobQueue("export", self._on_pace, self._on_error)
        super().__init__(plan)

    def give(self, data: Data) -> None:
        """Give batches that can be read again: what the report validates on, and what test vectors are made of."""
        self._data = data

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all is written; say whether it is."""
        return self._lane.wait(seconds)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._suggested = ""
        self._tool = ipywidgets.Dropdown(
            options=[(each.title, name) for name, each in EXPORTS.items()], description="for"
        )
        self._tool.style.description_width = "22px"
        self._tool.layout.width = "160px"
        self._path = ipywidgets.Text(description="to", layout=ipywidgets.Layout(flex="1 1 200px", max_width="380px"))
        self._path.style.description_width = "18px"
        self._replace = ipywidgets.Checkbox(description="replace", indent=False, layout=ipywidgets.Layout(width="82px"))
        self._replace.tooltip = "Write over a file that is there"
        self._button = ipywidgets.Button(description="Export", icon="download", layout=ipywidgets.Layout(width="94px"))
        self._done = ipywidgets.HTML()
        self._done.add_class("qw-quiet")
        self._tool.observe(self._on_tool, "value")
        self._button.on_click(self._on_export)
        line = ipywidgets.HBox(
            [ipywidgets.HTML("<b>export</b>"), self._tool, self._path, self._replace, self._button, self._done]
        )
        line.add_class("qw-bar")
        self.add_class("qw-export")
        self._suggest()
        return (line,)

    def _show(self, changed: frozenset[str]) -> None:
        pass

    def _show_selection(self) -> None:
        pass

    @property
    def _export(self) -> Export:
        return EXPORTS[self._tool.value]

    def _suggest(self) -> None:
        """Name the file, unless the person did."""
        if self._path.value == self._suggested:
            self._suggested = self._path.value = f"{file_name(self.plan.network)}{self._export.suffix or '-c'}"
        self._button.tooltip = self._export.about
        self._replace.layout.visibility = "visible" if self._export.suffix else "hidden"
        self._done.value = escaped(self._export.about)

    @guarded
    def _on_tool(self, _: object) -> None:
        self._suggest()

    @guarded
    def _on_export(self, _: object) -> None:
        tool, text = self._export, self._path.value.strip()
        if not text:
            raise FileError("write the name of a file into the box first")
        path = Path(text).expanduser()
        if tool.suffix and path.exists() and not self._replace.value:
            raise FileError(f"{path} exists and is left alone; choose another name, or tick replace")
        self._done.value = f"writing {escaped(path)} …"
        self._button.disabled = True
        self._lane.ask("export", lambda _: self._write(tool, path))

    def _write(self, tool: Export, path: Path) -> None:
        tool.write(self.plan, path, self.plan.model, self._data)
        self._finish(f"{tool.title}: wrote {written(path)}")

    @drawing
    def _finish(self, done: str) -> None:
        self.clear_report()
        self._done.value = escaped(done)
        self._on_done(done)

    @drawing
    def _on_pace(self, pace: Pace | None) -> None:
        self._button.disabled = pace is not None

    @drawing
    def _on_error(self, error: Exception) -> None:
        self._done.value = "nothing was written"
        self.report(error)


def written(path: Path) -> str:
    """What is at a path now, and how much.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.c").write_text("int a;")
    ...     written(Path(folder)).removeprefix(folder)
    ': 1 file, 6 bytes'
    """
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    amount = f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB"
    return (
        f"{path}: {len(files)} file{'' if len(files) == 1 else 's'}, {amount}" if path.is_dir() else f"{path}, {amount}"
    )
