"""Kernels to tune, of networks that compile in no time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import tiny
from tvm.relax import op

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.tune.tasks import Recorder, Task, tasks_of
from tvm_ondevice_train.tuning import target_of

BOARD = "mps2-an500"
CONVOLUTION = "conv:qconv2d"
# of `compile`; nothing is left out for want of scratch
OPTIONS = {"scheme": "full", "prefer": "speed"}
WINDOWS = ((3, 1), (5, 0), (7, 0))  # taps a side and padding: 25 columns, then 21, then 15


def tasks(board: str = BOARD, model: Model | None = None, **options) -> list[Task]:
    """The tasks of `model`; by default of `tiny.network`, its convolution int8."""
    recorder = Recorder(target_of(find_board(board)))
    model = model or tiny.network(**{"quantized": True, **options})
    return tasks_of(odt.compile(model, **OPTIONS, board=board, tuning=recorder), recorder)


@cache
def usual_tasks(board: str = BOARD) -> list[Task]:
    """Those of the network as `tiny.network` has it."""
    return tasks(board)


@cache
def convolution(board: str = BOARD) -> Task:
    """The task of its convolution, as the training step has it."""
    return next(task for task in usual_tasks(board) if task.name == CONVOLUTION)


@cache
def depthwise(board: str = BOARD) -> list[Task]:
    """Those of depthwise convolutions in a training step; see WINDOWS."""
    generator = np.random.default_rng(0)
    values = {"head.weight": generator.normal(size=(3, 2, 1, 1)).astype(np.float32)}
    for taps, _ in WINDOWS:
        shape = (2, 1, taps, taps)
        values[f"depthwise{taps}.weight"] = generator.integers(-128, 128, shape).astype(np.int8)

    def body(emit, x, head, *weights):
        y = emit(tiny.dequantize(x, 0.1))
        for weight, (_, padding) in zip(weights, WINDOWS, strict=True):
            real = emit(tiny.dequantize(weight, 0.01))
            y = emit(op.nn.conv2d(y, real, padding=padding, groups=2))
            y = emit(tiny.dequantize(emit(tiny.quantize(y, 0.1)), 0.1))
        return op.reshape(emit(op.nn.conv2d(emit(op.mean(y, [2, 3], True)), head)), (1, 3))

    shape = (1, 2, 13, 25)
    parameters = {name: (value.shape, str(value.dtype)) for name, value in values.items()}
    main = tiny.module({"x": (shape, "int8"), **parameters}, body)
    found = tasks(board, Model("depthwise", main, values, TensorSpec(shape, "int8", 0.1, 0)))
    return [task for task in found if task.name.endswith("qconv2d") and task.train_calls]


def with_body(kernel, statement: str):
    """A kernel that begins with `statement`."""
    return replace(kernel, text=kernel.text.replace("{\n", "{\n  " + statement + "\n", 1))
