"""TVM's tensor IR, which TVM moves between packages: this file alone knows where it lies."""

from __future__ import annotations

from typing import TypeAlias

from tvm import s_tir, te, tirx
from tvm.s_tir import Schedule, meta_schedule
from tvm.s_tir.dlight.analysis.common_analysis import get_sblockrealize
from tvm.s_tir.schedule import LoopRV, SBlockRV, ScheduleError, Trace
from tvm.script import tirx as T

Index: TypeAlias = tirx.Expr | tirx.IterVar | int  # what a tensor of te is read at
Scalar: TypeAlias = tirx.Expr | te.TensorSlice  # a number that te computes

__all__ = [
    "Index",
    "LoopRV",
    "SBlockRV",
    "Scalar",
    "Schedule",
    "ScheduleError",
    "T",
    "Trace",
    "const_like",
    "get_sblockrealize",
    "meta_schedule",
    "s_tir",
    "tirx",
]


def const_like(value: Scalar, number: float) -> tirx.Expr:
    """`number` in the dtype of `value`."""
    return tirx.const(number, value.dtype if isinstance(value, te.TensorSlice) else value.ty)
