"""Where the C runtime lies, and which of its files a platform needs."""

from __future__ import annotations

from pathlib import Path

from ..errors import OdtError

_PORTS = {
    "host": ("host_main.c",),
    "baremetal": (
        "baremetal_main.c",
        "cortex_m.c",
        "cortex_m.h",
        "semihosting.c",
        "semihosting.h",
    ),
}
PLATFORMS = tuple(_PORTS)


def runtime_dir() -> Path:
    """The directory of the C runtime: of a checkout, or the copy that was installed."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package.parent / "runtime" / "c", package / "_runtime"):
        if (candidate / "include" / "odt_protocol.h").is_file():
            return candidate
    raise OdtError("project: the C runtime is missing; install the package again")


def runtime_files(platform: str) -> dict[str, str]:
    """Path below the project's runtime/ -> text, of every runtime file that `platform` needs."""
    root = runtime_dir()
    paths = sorted((root / "include").glob("*.h")) + sorted((root / "src").glob("*.c"))
    paths += [root / "port" / name for name in _PORTS[platform]]
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}
