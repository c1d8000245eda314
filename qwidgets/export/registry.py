"""What an export is, and which are known: each module of this room registers its own, and anyone may add one.

Menus and pages offer what is registered here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from qwidgets.errors import ExportError

Write = Callable[..., object]
"""Called with a plan, a path, the network, where it is not the plan's own, and batches of data, if any."""


@dataclass(frozen=True)
class Export:
    """An export, and what a person reads of it before it is done.

    Attributes
    ----------
    name
        What it is known by.
    title
        Which tool it is for.
    suffix
        Of the file that it writes; "" for a folder.
    about
        What is written, in a sentence.
    write
        Does it, and leaves what was at the path as it was if it cannot.
    extra
        Which of the package's extras it needs; "" where it needs none.
    tells_remedies
        Whether ``write`` takes ``remedies`` by name, too: what :meth:`qwidgets.Plan.remedies` found.
    """

    name: str
    title: str
    suffix: str
    about: str
    write: Write
    extra: str = ""
    tells_remedies: bool = False


EXPORTS: dict[str, Export] = {}
"""The exports that are known, by name, in the order in which they are offered."""


def register_export(export: Export) -> Export:
    """Make an export known under its name, for menus.

    Raises
    ------
    ExportError
        There is another one of that name.
    """
    if EXPORTS.setdefault(export.name, export) is not export:
        raise ExportError(f"there is an export {export.name!r} already; give this one another name")
    return export
