"""The C of a model as a shared library of this computer, built once and kept."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..c_runtime import runtime_dir, runtime_files
from ..device.toolchain import run_tool
from ..errors import OdtError

_FLAGS = "-std=c99 -O3 -march=native -funroll-loops -ffp-contract=off -fPIC -shared".split()
_LIBRARIES = "libraries"  # in the folder for such things
_PORT, _SOURCES = "shared_library.c", ("odt_replay.c", "odt_ring_ram.c")


def cache_directory() -> Path:
    """Where what was built is kept: the user's folder for such things, or else one for now."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ondevice-train"
        (home / _LIBRARIES).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home / _LIBRARIES):
            return home
    except (OSError, RuntimeError):  # which says that the user has no home
        return Path(tempfile.mkdtemp(prefix="ondevice-train-"))


def library_of(files: Mapping[str, str], cache: Path) -> Path:
    """model.c, model.h and model_data.h compiled for this CPU, with the bits of every board.

    files : name -> text. cache : a folder; the same files are not compiled twice for it.
    OdtError says in one line what the compiler refused.
    """
    sources = {**files, **{f"runtime/{p}": t for p, t in runtime_files([_PORT]).items()}}
    facts = [_compiler(), *_FLAGS, *(f"{name}\0{sources[name]}" for name in sorted(sources))]
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]
    path = cache / _LIBRARIES / f"{key}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _build(files, path)
    return path


@lru_cache(maxsize=1)
def _compiler() -> str:
    """What the compiler says of itself and of this CPU."""
    return run_tool(["gcc", "-march=native", "-dM", "-E", "-x", "c", os.devnull]).stdout


def _build(files: Mapping[str, str], path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ondevice-train-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        root, made = runtime_dir(), f"{folder}/model.so"
        sources = [f"{folder}/model.c", str(root / "port" / _PORT)]
        sources += (str(root / "src" / name) for name in _SOURCES)
        includes = [f"-I{folder}", f"-I{root / 'include'}"]
        result = run_tool(["gcc", *_FLAGS, *includes, *sources, "-o", made])
        if result.returncode:
            complaint = (result.stderr.strip().splitlines() or ["gcc failed without a message"])[0]
            raise OdtError(f"simulate: {complaint}")
        beside = path.with_suffix(f".{os.getpid()}")  # another process may build the same
        beside.write_bytes(Path(made).read_bytes())
        beside.replace(path)
