"""The vector headers: simd/*.c, built for this computer and for emulated boards, and run there."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.files.render import render
from tvm_ondevice_train.project import runtime_dir

_SOURCES = Path(__file__).with_name("simd")
_STRICT = "-std=c99 -ffp-contract=off -Wall -Wextra -Wpedantic -Wundef -Wconversion -Werror".split()
_HOST_MAIN = "int check(void);\nint main(void) { return check() != 0; }\n"
BOARDS = {
    "cortex-m0": find_board("microbit"),  # has neither SIMD nor unaligned access
    "cortex-m4": find_board("mps2-an386"),
    "cortex-m7": find_board("mps2-an500"),
    "cortex-m55": find_board("mps3-an547"),
}
LEVELS = ("-O3", "-Os", "-O0")
# what this computer may be told that it has: variants of the headers, one of them portable
HOSTS = {
    "portable": (),
    "avx2": ("-mavx2",),
    "vnni": ("-mavx2", "-mavx512f", "-mavx512vl", "-mavx512vnni"),
}
_NATIVE = "int main(void) {{ return !({}); }}\n"


def host_flags(variant: str) -> tuple[str, ...]:
    """Flags for one of HOSTS; the test is skipped on a computer that has no such instructions."""
    flags = HOSTS[variant]
    if not all(_has(flag.removeprefix("-m")) for flag in flags):
        pytest.skip(f"this computer's CPU has no {variant}")
    return flags


@cache
def _has(feature: str) -> bool:
    """As gcc's run-time check says, which this computer's compiler may not have."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "has")
        Path(folder, "has.c").write_text(_NATIVE.format(f'__builtin_cpu_supports("{feature}")'))
        built = subprocess.run(["gcc", f"{program}.c", "-o", program], capture_output=True)
        return built.returncode == 0 and subprocess.run([program]).returncode == 0


def codes(generator: np.random.Generator, shape) -> np.ndarray:
    """Random int8, in one case of four only -128 and 127."""
    if generator.integers(4) == 0:
        return generator.choice(np.array([-128, 127], np.int8), shape)
    return generator.integers(-128, 128, shape).astype(np.int8)


def host_library(source: str, directory: Path, variant: str) -> ctypes.CDLL:
    """`source`, built for one of HOSTS; it ends the test run at undefined behaviour."""
    path = directory / "library.c"
    path.write_text(source)
    checks = ["-O2", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    flags = [*_STRICT, *checks, *host_flags(variant)]
    command = ["gcc", *flags, "-shared", "-fPIC", f"-I{runtime_dir() / 'include'}", str(path)]
    subprocess.run([*command, "-o", str(path.with_suffix(".so"))], check=True)
    return ctypes.CDLL(str(path.with_suffix(".so")))


def run_on_host(name: str, directory: Path, variant: str) -> str:
    """What simd/`name`.c prints here under the sanitizers: "". AssertionError if it fails."""
    main, program = directory / "main.c", directory / "check"
    main.write_text(_HOST_MAIN)
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g"]
    checks += host_flags(variant)
    include = [f"-I{runtime_dir() / 'include'}", f"-I{_SOURCES}"]
    sources = [str(_SOURCES / f"{name}.c"), str(main)]
    subprocess.run(["gcc", *_STRICT, *checks, *include, *sources, "-o", program], check=True)
    return _run([str(program)])


def run_on_board(name: str, core: str, level: str, directory: Path) -> str:
    """The same on a board of BOARDS, started from flash with a stack of 4 KB."""
    board = BOARDS[core]
    architecture = board.architecture
    script, program = directory / "link.ld", directory / "check.elf"
    (directory / "board.h").write_text(f'#include "{architecture.name}.h"\n')
    facts = {"board": board, "stack_bytes": 4096, "store_bytes": 0}
    facts["image_bytes"] = board.flash_bytes
    script.write_text(render("tvm_ondevice_train.project", "link.ld", facts))
    port = runtime_dir() / "port"
    folders = (runtime_dir() / "include", port, _SOURCES, directory)
    include = [f"-I{folder}" for folder in folders]
    sources = [_SOURCES / f"{name}.c", _SOURCES / "main.c", port / "semihosting.c"]
    link = [
        "-nostartfiles",
        f"--specs={architecture.specs}",
        "-T",
        str(script),
        "-Wl,--gc-sections",
    ]
    link.append("-Wl,-e,vectors")  # kept though nothing refers to it
    command = [board.compiler, *board.core.cflags, *_STRICT, level, "-ffunction-sections"]
    command += [*include, *map(str, sources), *link, "-o", str(program)]
    subprocess.run(command, check=True)
    emulator = [architecture.emulator, "-machine", board.qemu_machine, "-kernel", str(program)]
    emulator += ["-display", "none", "-monitor", "none", "-serial", "none"]
    return _run([*emulator, "-semihosting-config", "enable=on,target=native"])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
