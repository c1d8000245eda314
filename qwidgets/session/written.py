"""What is at a path, and how much, in words."""

from pathlib import Path


def size_text(path: Path) -> str:
    """Name a file with its size, or a folder with how many files are in it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.c").write_text("int a;")
    ...     size_text(Path(folder)).removeprefix(folder)
    ': 1 file, 6 bytes'
    """
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    amount = f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB"
    return (
        f"{path}: {len(files)} file{'' if len(files) == 1 else 's'}, {amount}" if path.is_dir() else f"{path}, {amount}"
    )
