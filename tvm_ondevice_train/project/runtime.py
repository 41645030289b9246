"""Where the C runtime lies, and how its files get into a project."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import OdtError


def runtime_dir() -> Path:
    """The directory of the C runtime: of a checkout, or the copy that was installed."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package.parent / "runtime" / "c", package / "_runtime"):
        if (candidate / "include" / "odt_protocol.h").is_file():
            return candidate
    raise OdtError("project: the C runtime is missing; install the package again")


def runtime_files(ports: Iterable[str]) -> dict[str, str]:
    """Path below the project's runtime/ -> text: include and src, and the files `ports` of port."""
    root = runtime_dir()
    paths = sorted((root / "include").glob("*.h")) + sorted((root / "src").glob("*.c"))
    paths += [root / "port" / name for name in ports]
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}
