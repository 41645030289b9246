"""Kernels to tune, of a network that compiles in no time."""

from __future__ import annotations

from dataclasses import replace

import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.tune.tasks import Recorder, Task, tasks_of
from tvm_ondevice_train.tune.tuning import target_of

BOARD = "mps2-an500"
CONVOLUTION = "conv:qconv2d"


def tasks(board: str = BOARD, **options) -> list[Task]:
    """The tasks of `tiny.network`, its convolution int8."""
    recorder = Recorder(target_of(find_board(board)))
    model = tiny.network(**{"quantized": True, **options})
    return tasks_of(odt.compile(model, scheme="full", board=board, tuning=recorder), recorder)


def convolution(board: str = BOARD) -> Task:
    """The task of its convolution, as the training step has it."""
    return next(task for task in tasks(board) if task.name == CONVOLUTION)


def with_body(kernel, statement: str):
    """A kernel that begins with `statement`."""
    return replace(kernel, text=kernel.text.replace("{\n", "{\n  " + statement + "\n", 1))
