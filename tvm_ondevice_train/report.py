"""What a compiled model takes: the account in `report.json`, and whether it fits the board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from relay_passes.graph import ALIGN
from relay_passes.memory.step import Step, Tensor, prediction

from .boards import Board, zephyr_itself
from .codegen.planned_model import PlannedModel
from .codegen.planned_step import PlannedStep, plan_step
from .errors import BudgetError
from .manifest import Manifest
from .options import Options
from .replay import FILE_BLOCK_BYTES, FILE_UNIT_BYTES, STORE_UNIT_BYTES

_INTEGER = {"qconv2d", "integer_input_grad", "integer_weight_grad"}  # operators of integer MACs
STATE_HEADER_BYTES = 16  # odt_t: learning rate, seed, steps, pointer to the arena
_PORT_BYTES = 72  # the most that a port for bare metal keeps of its link and its flash


def make_report(
    manifest: Manifest, planned: PlannedModel, board: Board, options: Options
) -> dict[str, Any]:
    """The account of memory and work; names and options come with it for whoever reads it."""
    step = planned.train.step
    parameter_bytes = sum(slot.value.nbytes for slot in planned.slots)
    state_bytes = parameter_bytes + STATE_HEADER_BYTES
    outputs, targets = int(np.prod(planned.output_shape)), int(np.prod(planned.target.shape))
    # odt_message_t: an output, its loss, a target, two counts of cycles
    static_bytes = 4 * (outputs + targets + 3) + _PORT_BYTES + planned.replay_bytes
    static_bytes += -(state_bytes + static_bytes) % ALIGN  # the arena comes behind them
    forward = prediction(planned.evaluate.step)
    integer_forward = _integer_macs(forward)
    return {
        "model": manifest.model,
        "scheme": manifest.scheme,
        "board": manifest.board,
        "loss": manifest.loss,
        "optimizer": manifest.optimizer,
        "backward": step.backward,
        "rollback": step.rollback,
        "backup_bytes": _backup_bytes(planned),
        "learning_rate": options.optimizer.learning_rate,
        "batch": options.batch,
        "accumulator": options.accumulator if options.batch else None,
        "accumulator_bytes": _accumulator_bytes(planned),
        "classes": manifest.classes,
        "new_head": options.classes is not None,
        "output": planned.output,
        "peak_sram_bytes": planned.arena_bytes + state_bytes + static_bytes + manifest.stack_bytes,
        "arena_bytes": planned.arena_bytes,
        "arena_lower_bound_bytes": planned.arena_lower_bound_bytes,
        "trainable_state_bytes": state_bytes,
        "static_bytes": static_bytes,
        "replay": planned.replay and asdict(planned.replay),
        "replay_bytes": planned.replay_bytes,
        "replay_flash_bytes": planned.replay_flash_bytes(*_flash_units(board)),
        "stack_bytes": manifest.stack_bytes,
        "sram_budget_bytes": board.sram_bytes,
        "flash_bytes": _constant_bytes(planned),
        "flash_holds_code": False,
        "flash_budget_bytes": board.flash_bytes,
        "macs_forward": forward.macs,
        "macs_forward_integer": integer_forward,
        "macs_backward": step.macs - forward.macs,
        "macs_backward_integer": _integer_macs(step) - integer_forward,
        "trained_parameters": {
            name: {"shape": list(entry.shape), "dtype": entry.dtype}
            for name, entry in manifest.trained_parameters.items()
            if name not in (manifest.unused, manifest.imprinted)
        },
        "plain_loops": _plain_loops(step),
        "ops": _ops(planned.train),
        "update_ops": _ops(planned.update) if planned.update else [],
    }


def with_zephyr(report: dict[str, Any], board: Board) -> dict[str, Any]:
    """The account of an application for Zephyr: what Zephyr itself takes, and its own budget.

    What trains lies in a DTCM beside Zephyr's SRAM where there is one that holds it and all does
    not fit otherwise.
    """
    memory = board.zephyr_memory
    if memory is None or board.sram_bytes is None or board.flash_bytes is None:
        return report
    sram_bytes, flash_bytes = zephyr_itself(memory)
    state_bytes = report["trainable_state_bytes"]
    peak_bytes = report["peak_sram_bytes"] + sram_bytes
    budget = min(board.sram_bytes, memory.sram_bytes)
    in_dtcm = budget < peak_bytes <= budget + state_bytes and state_bytes <= memory.dtcm_bytes
    return {
        **report,
        "peak_sram_bytes": peak_bytes,
        "sram_budget_bytes": budget + (memory.dtcm_bytes if in_dtcm else 0),
        "state_in_dtcm": in_dtcm,
        "flash_bytes": report["flash_bytes"] + flash_bytes,
        "flash_budget_bytes": min(board.flash_bytes, memory.flash_bytes),
        "zephyr_sram_bytes": sram_bytes,
        "zephyr_flash_bytes": flash_bytes,
        "zephyr_is_measured": memory.is_measured,
    }


def _accumulator_bytes(planned: PlannedModel) -> int:
    """Of the state, what batches add to it: sums, and two counts of samples."""
    kinds = ("accumulator", "accumulated", "batch")
    return sum(slot.value.nbytes for slot in planned.slots if slot.kind in kinds)


def _flash_units(board: Board) -> tuple[int, int]:
    """In what bytes the flash is programmed and erased that the program writes: the board's own, or
    that of an emulated one. An application in Zephyr may have another."""
    if board.store is None:
        return FILE_UNIT_BYTES, FILE_BLOCK_BYTES
    return STORE_UNIT_BYTES, board.store["page_bytes"]


def _constant_bytes(planned: PlannedModel) -> int:
    """Of flash; the code is known where it is compiled (see `CompiledModel.save`)."""
    constants = [*planned.frozen.values(), *planned.constants.values()]
    return sum(v.nbytes for v in (*constants, *(slot.value for slot in planned.learned)))


def _integer_macs(step: Step) -> int:
    """The multiply-accumulates of a step that are made in integers; the others are in float32."""
    return sum(t.kernel.macs for t in step.tasks if not _INTEGER.isdisjoint(t.kernel.operators))


def _plain_loops(step: Step) -> list[dict]:
    """The ops of a step whose multiply-accumulates no microkernel makes, and why."""
    return [
        {
            "op": task.name,
            "macs": task.kernel.macs,
            "share": task.kernel.macs / step.macs,
            "reason": task.kernel.plain_loops,
        }
        for task in step.tasks
        if task.kernel.macs and task.kernel.plain_loops
    ]


def _ops(planned: PlannedStep) -> list[dict]:
    def places(tensors: Sequence[Tensor]) -> list[dict]:
        return [{"tensor": t.name, "offset": planned.offset(t)} for t in tensors]

    return [
        {
            "name": task.name,
            "kind": task.kind,
            "inputs": places(task.inputs),
            "outputs": places(task.outputs),
            "macs": task.kernel.macs,
        }
        for task in planned.step.tasks
    ]


def check_budget(report: dict, planned: PlannedModel) -> None:
    """Refuse what does not fit, saying by how much and what sets the peak."""
    budget, peak = report["sram_budget_bytes"], report["peak_sram_bytes"]
    zephyr = report.get("zephyr_sram_bytes", 0)
    where = f"{report['board']} in Zephyr" if zephyr else report["board"]
    if budget is not None and peak > budget:
        excess, spared = peak - budget, report["backup_bytes"]
        kept = report["replay_bytes"]
        instead = "keep fewer samples (--replay), " if kept else ""
        instead += f"use --no-rollback (spares {spared:,} bytes), " if spared >= excess else ""
        raise BudgetError(
            f"{report['model']}: needs {peak:,} bytes of SRAM, "
            f"{excess:,} more than the {budget:,} of {where}: arena "
            f"{report['arena_bytes']:,} ({_peak(planned)}), trained parameters and state "
            f"{report['trainable_state_bytes']:,}, stack and static data "
            f"{report['stack_bytes'] + report['static_bytes']:,}"
            f"{f' (samples that are kept {kept:,})' if kept else ''}"
            f"{f', Zephyr itself {zephyr:,}' if zephyr else ''}. Train less (--scheme), "
            f"{instead}or use a board with more SRAM (--board, --sram)."
        )
    replay = report["replay_flash_bytes"]
    budget, flash = report["flash_budget_bytes"], report["flash_bytes"] + replay
    if budget is not None and flash > budget:
        what = "" if report["flash_holds_code"] else " for its constants alone"
        what += f" and samples that are kept ({replay:,})" if replay else ""
        zephyr = report.get("zephyr_flash_bytes", 0)
        raise BudgetError(
            f"{report['model']}: needs {flash:,} bytes of flash"
            f"{what}{f' with Zephyr itself ({zephyr:,})' if zephyr else ''}, {flash - budget:,} "
            f"more than the {budget:,} of {where}. Use a smaller "
            "model, or a board with more flash (--board, --flash)."
        )


def _backup_bytes(planned: PlannedModel) -> int:
    """What rollback adds to the arena."""
    if not planned.train.step.rollback:
        return 0
    bare = replace(
        planned,
        train=_without_rollback(planned.train),
        update=_without_rollback(planned.update) if planned.update else None,
    )
    return max(planned.arena_bytes - bare.arena_bytes, 0)


def _without_rollback(planned: PlannedStep) -> PlannedStep:
    return plan_step(replace(planned.step, rollback=False, peak_bytes=None))


def _peak(planned: PlannedModel) -> str:
    """The op at which most bytes are live, and the largest tensors there."""
    larger = max(planned.steps, key=lambda p: p.plan.total_bytes)
    index, step = larger.plan.peak_op, larger.step
    assert index is not None, "a step has a loss, which lies in the arena"
    task = step.tasks[index]
    live = [
        (tensor.size_bytes, _describe(tensor))
        for tensor, (first, last) in step.live.items()
        if first <= index <= last
    ]
    live.append((task.kernel.workspace_bytes, "scratch"))
    backups = [t.size_bytes for first, t in step.backups if first <= index]
    live.append((sum(backups), "what the updates wrote over (--no-rollback)"))
    largest = sorted(live, reverse=True)[:3]
    parts = [f"{size:,} for {what}" for size, what in largest if size]
    return f"its peak is set by {task.name}: {', '.join(parts)}"


def _describe(tensor: Tensor) -> str:
    what = "the input" if tensor.role == "input" else tensor.dtype
    return f"{what} {'x'.join(map(str, tensor.shape))}"
