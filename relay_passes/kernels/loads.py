"""How often a kernel loads an element of an operand."""

from __future__ import annotations

import math

import tvm

from ..blocks import is_spatial
from ..ops.staging import STAGES
from ..tir import Schedule, tirx


def loads_per_element(function: tirx.PrimFunc, position: int) -> float:
    """Loads of parameter `position` for each of its elements, as `DefaultSchedule` will have it.

    A stage, a sum, a result and what several blocks read are computed once an element; every other
    block anew wherever it is read.
    """
    schedule = Schedule(tvm.IRModule({"main": function}))
    loads: dict[tirx.Var, float] = {}  # buffer -> loads of all of its elements together
    for handle in reversed(schedule.get_child_blocks(schedule.get_sblock("root"))):
        block = schedule.get(handle)
        iterations: float = math.prod(int(axis.dom.extent) for axis in block.iter_vars)
        (result, *_) = (write.source for write in block.writes)
        anew = len(schedule.get_consumers(handle)) == 1 and block.name_hint not in STAGES
        if anew and is_spatial(block):
            iterations = loads[result]
        for read in block.reads:
            loads[read.source] = loads.get(read.source, 0) + iterations
    operand = function.params[position]
    return loads.get(operand, 0) / math.prod(int(n) for n in operand.ty.shape)
