"""What stands at a path that a person named: whether a file can be read from there, or written to there.

Nothing here reads or writes.
"""

import errno
import os
import stat
from pathlib import Path

from qwidgets.errors import FileError


def path_of(path: str | os.PathLike[str]) -> Path:
    """Give what a person named as a path, or a FileError where it can name no file.

    Examples
    --------
    >>> path_of("plan.json").name
    'plan.json'
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise FileError(f"a path is text or a pathlib.Path, not {path!r}; give the name of a file")
    text = os.fspath(path)
    if not text:
        raise FileError("the path is empty; give the name of a file")
    if "\0" in text:
        raise FileError(f"no file can be called {text!r}: there is a null character in it; leave it out")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise FileError(f"no file can be called {text!r}: there is half a character in it; leave it out") from None
    return Path(text)


def place_of(path: str | os.PathLike[str]) -> Path:
    """Give where a file that is written to ``path`` comes to lie: where links lead to, as everything follows them.

    Raises
    ------
    FileError
        Something stands there that is no regular file, such as a device or a folder; it is left as it is.
    """
    given = path_of(path)
    try:
        target = Path(os.path.realpath(given))
        standing = target.lstat()
    except FileNotFoundError:
        return target
    except OSError as error:
        raise unwritable(given, error) from error
    if stat.S_ISLNK(standing.st_mode):  # what realpath gives of links that lead to each other
        raise FileError(f"cannot write {given}: it is a link that leads in a circle; choose another name")
    if not stat.S_ISREG(standing.st_mode):
        raise FileError(f"cannot write {given}: it is {_kind(standing.st_mode)} and not a file; choose another name")
    return target


def source_of(path: str | os.PathLike[str], most_bytes: int | None = None) -> Path:
    """Give the path of a file to be read.

    Raises
    ------
    FileError
        There is none, or it is no regular file (a device or a pipe may never end), or longer than ``most_bytes``.
    """
    given = path_of(path)
    try:
        standing = given.stat()
    except OSError as error:
        raise FileError(f"cannot read {given}: {error.strerror or error}") from error
    if not stat.S_ISREG(standing.st_mode):
        raise FileError(f"cannot read {given}: it is {_kind(standing.st_mode)} and not a file; choose a file")
    if most_bytes is not None and standing.st_size > most_bytes:
        raise FileError(
            f"cannot read {given}: it has {standing.st_size:,} bytes, and no such file has more than {most_bytes:,}; "
            "choose one that this package saved"
        )
    return given


def unwritable(path: Path, error: OSError) -> FileError:
    """Give the error for a place that cannot be written to, with what to do about it."""
    reason = f"cannot write {path}: {error.strerror or error}"
    if error.errno == errno.ENAMETOOLONG:
        return FileError(f"{reason}; choose a shorter name")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FileError(f"{reason}; make room there, or choose another folder")
    return FileError(f"{reason}; choose a folder that exists and is writable")


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
