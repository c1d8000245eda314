"""Writing a folder as a whole: it is there with all its files, or nothing has changed.

The files are written beside it and the new folder is renamed into its place. A folder that is there already is replaced
only if every file in it is one that was written here and has not changed since; ``SHA256SUMS`` tells.
"""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from qwidgets.errors import FileError
from qwidgets.files import path_of

SUMS = "SHA256SUMS"


def replace_folder(folder: str | os.PathLike[str], files: Mapping[str, str], products: Iterable[str]) -> None:
    """Write text files into a folder, which is made.

    Parameters
    ----------
    folder
        Where; its parent exists.
    files
        The content of each by its name.
    products
        Names of files that are made of these, and that may be lost when the folder is replaced.

    Raises
    ------
    FileError
        The folder cannot be written, or holds what was not written here, or what was changed since.
    """
    target = Path(os.path.abspath(path_of(folder)))  # noqa: PTH100 - a link is replaced in its own place
    check_folder(target, products)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.old")
    try:
        beside.mkdir()
        for name, text in {**files, SUMS: _sums(files)}.items():
            with (beside / name).open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        if target.exists():
            target.rename(aside)
        try:
            beside.rename(target)
        except OSError:
            if aside.exists():
                aside.rename(target)
            raise
    except OSError as error:
        reason = f"cannot write the folder {target}: {error.strerror or error}"
        raise FileError(f"{reason}; choose a place that exists and is writable; nothing was changed") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def check_folder(folder: str | os.PathLike[str], products: Iterable[str]) -> None:
    """Refuse to replace a folder that holds anything that `replace_folder` did not write.

    Raises
    ------
    FileError
        There is something else; the text names it.
    """
    target = path_of(folder)
    if target.is_symlink():
        raise FileError(f"{target} is a link; give the folder that it leads to")
    if not target.exists():
        if not target.parent.is_dir():
            raise FileError(f"cannot write the folder {target}: {target.parent} does not exist; make it first")
        return
    if not target.is_dir():
        raise FileError(f"{target} is a file; choose another name for the folder")
    try:
        held = {path.name: path for path in target.iterdir()}
        sums = _read_sums(target / SUMS) if SUMS in held else {}
        for name, path in sorted(held.items()):
            if name == SUMS or (name in products and sums and path.is_file()):
                continue
            if name not in sums:
                raise FileError(f"{target} holds {name!r}, which was not exported; choose an empty or a new folder")
            if hashlib.sha256(path.read_bytes()).hexdigest() != sums[name]:
                raise FileError(f"{path} was changed since it was exported; move it elsewhere, or choose a new folder")
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {target}: {error.strerror or error}") from error


def _sums(files: Mapping[str, str]) -> str:
    return "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in files.items())


def _read_sums(path: Path) -> dict[str, str]:
    """Read what ``sha256sum`` reads; whatever is not in its form counts for nothing."""
    sums = {}
    with contextlib.suppress(UnicodeDecodeError):
        for line in path.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            sums[name] = digest
    return sums
