"""Where the C runtime lies, which drivers it has, and how its files get into a project."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .errors import OdtError

_INCLUDED = re.compile(r'^#include "([^"]+)\.h"', re.MULTILINE)


def runtime_dir() -> Path:
    """The directory of the C runtime: of a checkout, or the copy that was installed."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parent / "runtime" / "c", package / "_runtime"):
        if (candidate / "include" / "odt_protocol.h").is_file():
            return candidate
    raise OdtError("runtime: the C runtime is missing; install the package again")


def drivers(kind: str) -> list[str]:
    """The names of port/<kind>_<name>.c: how a board's "uart" or "flash" may be driven."""
    found = (runtime_dir() / "port").glob(f"{kind}_*.c")
    return sorted(path.stem.removeprefix(f"{kind}_") for path in found)


def runtime_files(ports: Iterable[str]) -> dict[str, str]:
    """Path below the project's runtime/ -> text: include, src, and of port what `ports` need.

    A file of port needs the headers there that it includes, and those the .c files beside them.
    """
    root = runtime_dir()
    paths = sorted((root / "include").glob("*.h")) + sorted((root / "src").glob("*.c"))
    files = {path.relative_to(root).as_posix(): path.read_text() for path in paths}
    waiting = [root / "port" / name for name in ports]
    while waiting:
        path = waiting.pop()
        name, text = path.relative_to(root).as_posix(), path.read_text()
        if name not in files:
            files[name] = text
            needed = (path.with_name(stem) for stem in _INCLUDED.findall(text))
            near = (stem.with_suffix(suffix) for stem in needed for suffix in (".h", ".c"))
            waiting += filter(Path.is_file, near)
    return files
