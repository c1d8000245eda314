"""The foot of the workbench: drafts become commits here, are taken back, saved and loaded."""

from pathlib import Path

import ipywidgets

from qwidgets.errors import FileError
from qwidgets.plan import Plan
from qwidgets.widgets.controls import bar, button, escaped, file_name, guarded, quiet, text_box
from qwidgets.widgets.workbench.session_view import SessionView


class Footer(SessionView):
    """The foot of the workbench.

    Attributes
    ----------
    note, path
        What a commit is about, and the file to save to and to load from.
    commit, revert, undo, redo, save, load
        The buttons.
    """

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._drafts = ipywidgets.HTML(layout=ipywidgets.Layout(min_width="64px"))
        self.note = text_box(
            "note",
            layout=ipywidgets.Layout(flex="1 1 120px", max_width="380px", min_width="130px"),
            placeholder="what changed, and why",
        )
        self.commit = button("Commit", self._on_commit, "Make the drafts the formats that count", icon="check")
        self.commit.button_style = "primary"
        self.revert = button("Revert", self._on_revert, "Drop all drafts")
        self.undo = button("Undo", self._on_undo, "Take the last step back", icon="undo")
        self.redo = button("Redo", self._on_redo, "Do again what was undone", icon="repeat")
        self.path = text_box(
            "file",
            layout=ipywidgets.Layout(flex="0 3 210px", min_width="90px"),
            value=f"{file_name(self.plan.network)}-plan.json",
        )
        self.save = button("Save", self._on_save, "Write formats, drafts, locks and history to the file", icon="save")
        self.load = button(
            "Load", self._on_load, "Take over what the file holds; Undo takes it back", icon="folder-open"
        )
        self._done = quiet()
        self._done.layout.min_width = "0"
        self._done.add_class("qw-one-line")
        self.add_class("qw-foot")
        moves = (self._drafts, self.note, self.commit, self.revert, self.undo, self.redo)
        return (bar(*moves, self.path, self.save, self.load, self._done),)

    def _show(self, changed: frozenset[str]) -> None:
        drafts = len(self.plan.drafts)
        self._drafts.value = f"<b>{drafts}</b> draft{'' if drafts == 1 else 's'}" if drafts else "no drafts"
        self.commit.disabled = not drafts
        self.revert.disabled = not drafts
        self.undo.disabled = not self.plan.can_undo
        self.redo.disabled = not self.plan.can_redo

    @guarded
    def _on_commit(self, _: object) -> None:
        entry = self.plan.commit(self.note.value.strip())
        self.note.value = ""
        count = len(entry.changes)
        self._finish(f"committed {count} tensor{'' if count == 1 else 's'}")

    @guarded
    def _on_revert(self, _: object) -> None:
        self.plan.revert()
        self._finish("drafts dropped")

    @guarded
    def _on_undo(self, _: object) -> None:
        self.plan.undo()
        self._finish("undone")

    @guarded
    def _on_redo(self, _: object) -> None:
        self.plan.redo()
        self._finish("done again")

    @guarded
    def _on_save(self, _: object) -> None:
        path = self._named_file()
        if path.exists():
            _check_is_plan(path)
        self.plan.save(path)
        self._finish(f"saved to {path}")

    @guarded
    def _on_load(self, _: object) -> None:
        path = self._named_file()
        self.plan.open(path)
        self._finish(f"loaded from {path}")

    def _named_file(self) -> Path:
        if not self.path.value.strip():
            raise FileError("write the name of a file into the box first")
        return Path(self.path.value.strip()).expanduser()

    def _finish(self, done: str) -> None:
        self._done.value = f"<span role='status' aria-live='polite'>{escaped(done)}</span>"
        self.session.log.add(done)


def _check_is_plan(path: Path) -> None:
    """Refuse to write over a file that is something else."""
    try:
        Plan.load(path)
    except FileError as error:
        raise FileError(
            f"{path} exists and is not a plan, so it is left alone; choose another name ({error})"
        ) from None
