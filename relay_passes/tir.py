"""TVM's tensor IR, which TVM moves between packages: this file alone knows where it lies."""

from tvm import s_tir, tirx
from tvm.s_tir import Schedule, meta_schedule
from tvm.s_tir.dlight.analysis.common_analysis import get_sblockrealize
from tvm.s_tir.schedule import ScheduleError
from tvm.script import tirx as T

__all__ = [
    "Schedule",
    "ScheduleError",
    "T",
    "get_sblockrealize",
    "meta_schedule",
    "s_tir",
    "tirx",
]
