"""`tiny.network()` compiled, all of which trains, for tests of optimizers and batches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import tiny

import tvm_ondevice_train as odt
from relay_passes.optimizers import Optimizer
from tvm_ondevice_train.c_runtime import runtime_dir
from tvm_ondevice_train.compiler import CompiledModel


def tiny_project(
    directory: Path, optimizer: Optimizer, quantized: bool = False, **options: object
) -> tuple[CompiledModel, Path]:
    """The model and its project, for the host unless `options` say otherwise."""
    options = {"scheme": "full", "board": "host", "optimizer": optimizer, **options}
    compiled = odt.compile(tiny.network(quantized=quantized), **options)
    return compiled, compiled.save(directory)


def run_with(compiled: CompiledModel, program: str, directory: Path) -> int:
    """What a C program of its own returns that calls the model's functions."""
    for name, text in {**compiled.files, "main.c": program}.items():
        (directory / name).write_text(text)
    flags = f"-std=c99 -Wall -Wextra -Werror -fsanitize=undefined -I. -I{runtime_dir()}/include"
    command = ["gcc", *flags.split(), "main.c", "model.c", "-o", "program", "-lm"]
    subprocess.run(command, cwd=directory, check=True)
    return subprocess.run([directory / "program"]).returncode
