"""The foot of the workbench: drafts become commits here, are taken back, saved and loaded; history and log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from qwidgets.errors import FileError
from qwidgets.plan import Plan
from qwidgets.tuning import Commit, Format
from qwidgets.widgets.controls import PlanView, escaped, file_name, guarded

MOST_CHANGES = 12


class Footer(PlanView):
    """The foot of the workbench.

    Parameters
    ----------
    plan
        What is committed, taken back, saved and loaded.
    on_done
        Called with a sentence about what was done.
    """

    def __init__(self, plan: Plan, on_done: Callable[[str], None]) -> None:
        self._on_done = on_done
        super().__init__(plan)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._drafts = ipywidgets.HTML(layout=ipywidgets.Layout(min_width="64px"))
        self._note = ipywidgets.Text(
            placeholder="what changed, and why",
            description="note",
            layout=ipywidgets.Layout(flex="1 1 200px", max_width="380px", min_width="150px"),
        )
        self._note.style.description_width = "34px"
        self._commit = _button("Commit", "check", "Make the drafts the formats that count", self._on_commit)
        self._commit.button_style = "primary"
        self._revert = _button("Revert", "", "Drop all drafts", self._on_revert)
        self._undo = _button("Undo", "undo", "Take the last step back", self._on_undo)
        self._redo = _button("Redo", "repeat", "Do again what was undone", self._on_redo)
        self._path = ipywidgets.Text(
            value=f"{file_name(self.plan.network)}-plan.json",
            description="file",
            layout=ipywidgets.Layout(flex="0 1 240px", min_width="150px"),
        )
        self._path.style.description_width = "28px"
        self._save = _button("Save", "save", "Write formats, drafts, locks and history to the file", self._on_save)
        self._load = _button("Load", "folder-open", "Take over what the file holds; Undo takes it back", self._on_load)
        self._done = ipywidgets.HTML()
        self._done.add_class("qw-quiet")
        self._history = ipywidgets.HTML()
        steps = ipywidgets.HBox([self._drafts, self._note, self._commit, self._revert, self._undo, self._redo])
        files = ipywidgets.HBox([self._path, self._save, self._load, self._done])
        line = ipywidgets.HBox([steps, files])
        for part, basis in ((steps, "1 1 640px"), (files, "0 1 auto")):
            part.layout.flex, part.layout.flex_flow, part.layout.min_width = basis, "row wrap", "0"
        line.add_class("qw-bar")
        return (line,)

    @property
    def history(self) -> ipywidgets.HTML:
        """The commits, to be put on the screen where there is room."""
        return self._history

    def _show(self, changed: frozenset[str]) -> None:
        drafts = len(self.plan.drafts)
        self._drafts.value = f"<b>{drafts}</b> draft{'' if drafts == 1 else 's'}" if drafts else "no drafts"
        self._commit.disabled = not drafts
        self._revert.disabled = not drafts
        self._undo.disabled = not self.plan.can_undo
        self._redo.disabled = not self.plan.can_redo
        self._history.value = history_page(self.plan.history)

    def _show_selection(self) -> None:
        pass

    @guarded
    def _on_commit(self, _: object) -> None:
        entry = self.plan.commit(self._note.value.strip())
        self._note.value = ""
        self._tell(f"committed {_tensors(len(entry.changes))}")

    @guarded
    def _on_revert(self, _: object) -> None:
        self.plan.revert()
        self._tell("drafts dropped")

    @guarded
    def _on_undo(self, _: object) -> None:
        self.plan.undo()
        self._tell("undone")

    @guarded
    def _on_redo(self, _: object) -> None:
        self.plan.redo()
        self._tell("done again")

    @guarded
    def _on_save(self, _: object) -> None:
        path = self._named_file()
        if path.exists():
            _check_is_plan(path)
        self.plan.save(path)
        self._tell(f"saved to {path}")

    @guarded
    def _on_load(self, _: object) -> None:
        path = self._named_file()
        self.plan.open(path)
        self._tell(f"loaded from {path}")

    def _named_file(self) -> Path:
        if not self._path.value.strip():
            raise FileError("write the name of a file into the box first")
        return Path(self._path.value.strip()).expanduser()

    def _tell(self, text: str) -> None:
        self._done.value = escaped(text)
        self._on_done(text)


def history_page(history: tuple[Commit, ...]) -> str:
    """The commits as HTML, the newest first."""
    if not history:
        return "<span class='qw-quiet'>Nothing was committed yet.</span>"
    return "".join(_entry(commit) for commit in reversed(history))


def _entry(commit: Commit) -> str:
    listed = list(commit.changes.items())
    lines = [f"{escaped(name)}: {_text(old)} → {_text(new)}" for name, (old, new) in listed[:MOST_CHANGES]]
    if len(listed) > MOST_CHANGES:
        lines.append(f"and {len(listed) - MOST_CHANGES} more")
    note = escaped(commit.note) or "<i>without a note</i>"
    return (
        f"<details><summary><b>{note}</b> <span class='qw-quiet'>{_tensors(len(listed))} · {escaped(commit.who)}"
        f" · {escaped(commit.when.replace('T', ' '))}</span></summary>{'<br>'.join(lines)}</details>"
    )


def _check_is_plan(path: Path) -> None:
    """Refuse to write over a file that is something else."""
    try:
        Plan.load(path)
    except FileError as error:
        raise FileError(
            f"{path} exists and is not a plan, so it is left alone; choose another name ({error})"
        ) from None


def _tensors(count: int) -> str:
    return f"{count} tensor{'' if count == 1 else 's'}"


def _text(fmt: Format) -> str:
    return "float" if fmt is None else escaped(str(fmt))


def _button(description: str, icon: str, tooltip: str, on_click: Any) -> ipywidgets.Button:
    button = ipywidgets.Button(
        description=description, icon=icon, tooltip=tooltip, layout=ipywidgets.Layout(width="94px")
    )
    button.on_click(on_click)
    return button
