"""The programs that build and emulate: where they are, or which package brings them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import ChainMap
from collections.abc import Sequence

from ..architectures import RECORDS
from ..errors import OdtError

_OF_THE_HOST = {
    "gcc": "gcc libc6-dev",
    "make": "make",
    "cmake": "cmake ninja-build device-tree-compiler",
}
_PACKAGES = ChainMap(_OF_THE_HOST, *(dict(record.packages) for record in RECORDS.values()))


def find_tool(name: str) -> str:
    """The path of the program `name`; OdtError with the package to install if there is none."""
    path = shutil.which(name)
    if path is None:
        raise OdtError(f"toolchain: {name} not found; install it: apt install {_PACKAGES[name]}")
    return path


def run_tool(arguments: Sequence[str]) -> subprocess.CompletedProcess:
    """Run a program to its end and return its exit status and captured text.

    An outer make's settings are hidden from it: they are meant for that make's own children.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
    environment["LC_ALL"] = "C"  # messages are searched for known phrases
    return subprocess.run(
        [find_tool(arguments[0]), *arguments[1:]],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
