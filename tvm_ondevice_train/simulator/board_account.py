"""What a model takes of its board, as the board's own program says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import Data
from ..device.session import Session
from ..errors import OdtError
from ..learning.classes import use_classes
from ..project import read_report

if TYPE_CHECKING:
    from ..compiler import CompiledModel

_OF_REPORT = (
    *("board", "peak_sram_bytes", "sram_budget_bytes", "flash_bytes", "flash_holds_code"),
    *("macs_forward", "macs_backward", "backward", "head"),
)
_COUNTED = {"instructions_per_step": "train", "instructions_forward": "predict"}


def board_account(compiled: CompiledModel, data: Data) -> dict[str, Any]:
    """Of report.json what differs between schemes, and instructions of the board's CPU.

    Flash holds the code where there is a compiler for the board. Where its program cannot be
    emulated here, instructions are None and ``not_emulated`` says why. BudgetError for a program
    that is larger than the board's flash.
    """
    with tempfile.TemporaryDirectory() as scratch:
        project = compiled.save(Path(scratch, "project"))
        report = read_report(project)
        account = {name: report[name] for name in _OF_REPORT}
        try:
            return account | _instructions(project, compiled, data) | {"not_emulated": None}
        except OdtError as error:
            return account | dict.fromkeys(_COUNTED) | {"not_emulated": str(error)}


def _instructions(project: Path, compiled: CompiledModel, data: Data) -> dict[str, int]:
    """Of a training step with its update, and of a prediction; of the first sample of `data`."""
    if "semihosting" not in compiled.board.transports:
        raise OdtError(f"no bare-metal program for {compiled.board.name} is emulated")
    with Session(project) as device:
        use_classes(device, data)
        if device.manifest.batches is not None:
            device.set_batch(1)
        device.train_encoded(data.x[0], data.y[0])
        device.predict_encoded(data.x[0])
    return {name: device.counts[kind][1] for name, kind in _COUNTED.items()}
