"""A smaller plan from the constraint solver of OR-tools, where that is installed."""

from __future__ import annotations

from collections.abc import Sequence

from .buffer import Buffer


def solve(buffers: Sequence[Buffer], bound: int, total: int, effort: float) -> list[int] | None:
    """Offsets of an arena of fewer than `total` bytes; None if none was found.

    bound: no arena is smaller. effort: the solver's deterministic time: counted work, not seconds,
    so that the result does not depend on the machine. None also where OR-tools is not installed.
    """
    try:
        from ortools.sat.python import cp_model  # here, since it is optional and slow to import
    except ImportError:
        return None
    unit = min(buffer.alignment for buffer in buffers)  # divides every offset and aligned size
    model = cp_model.CpModel()
    # The heuristics' plan is an upper bound, and no hint: near a hint the solver finds little.
    top = model.new_int_var(bound // unit, total // unit - 1, "top")
    offsets, op_intervals, byte_intervals = [], [], []
    for buffer in buffers:
        last = (total - buffer.aligned_bytes) // buffer.alignment
        offset = model.new_int_var(0, last, buffer.name) * (buffer.alignment // unit)
        model.add(offset + buffer.aligned_bytes // unit <= top)
        offsets.append(offset)
        for start, end, low, high in buffer.phases:  # rectangles that move together
            op_intervals.append(model.new_fixed_size_interval_var(start, end + 1 - start, ""))
            size = (high - low) // unit
            byte_intervals.append(model.new_fixed_size_interval_var(offset + low // unit, size, ""))
    model.add_no_overlap_2d(op_intervals, byte_intervals)
    model.minimize(top)
    found = None
    for from_below in (True, False):  # proves totals too small from the bound up, or finds smaller
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1  # several race: another winner, another plan
        solver.parameters.random_seed = 0
        solver.parameters.linearization_level = 0  # linear relaxations find nothing here, slowly
        solver.parameters.use_objective_lb_search = from_below
        solver.parameters.max_deterministic_time = effort / 2
        status = solver.solve(model)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            found = [solver.value(offset) * unit for offset in offsets]
            model.add(top < solver.value(top))
        if status in (cp_model.OPTIMAL, cp_model.INFEASIBLE):
            break
    return found
