"""The boards that a project can be made for: one table, boards.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from .errors import OdtError

DEFAULT_BOARD = "mps2-an500"


@dataclass(frozen=True)
class Board:
    """One row of boards.json; `sram_bytes` and `flash_bytes` are the budget a project must meet.

    The host has neither budget nor addresses. The limits are what the machine really has: a
    budget may be moved up to them.

    `vectors_origin` is where the core looks for its vector table at reset, where that is not in
    the flash itself.

    `cflags` leave out the vector float instructions of the Cortex-M55 (+nomve.fp): they flush
    denormal numbers to zero, which no other board does, and compilers use them unasked.
    """

    name: str
    description: str
    cpu: str
    fpu: bool
    dsp: bool
    mve: bool
    cflags: tuple[str, ...]
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    ram_origin: int | None = None
    flash_origin: int | None = None
    vectors_origin: int | None = None
    sram_limit_bytes: int | None = None
    flash_limit_bytes: int | None = None
    qemu_machine: str | None = None

    @property
    def is_host(self) -> bool:
        """Whether programs for this board run as a process of this computer."""
        return self.qemu_machine is None


@cache
def _table() -> dict[str, Board]:
    rows = json.loads(Path(__file__).with_name("boards.json").read_text())
    return {
        name: Board(name=name, **{**row, "cflags": tuple(row["cflags"])})
        for name, row in rows.items()
    }


def boards() -> tuple[Board, ...]:
    """Every board, in the order of the table."""
    return tuple(_table().values())


def board(name: str, sram_bytes: int | None = None, flash_bytes: int | None = None) -> Board:
    """The board called `name`, with another budget where one is given.

    Raises OdtError for an unknown name, and for a budget that the board cannot have.
    """
    if name not in _table():
        known = ", ".join(_table())
        raise OdtError(f"board: unknown board {name!r}; known boards are {known}")
    row = _table()[name]
    budget = {"sram_bytes": sram_bytes, "flash_bytes": flash_bytes}
    budget = {field: value for field, value in budget.items() if value is not None}
    for field, value in budget.items():
        limit = getattr(row, field.replace("_bytes", "_limit_bytes"))
        if value <= 0 or (limit is not None and value > limit):
            raise OdtError(
                f"board: {field} of {name} must lie between 1 and {limit or 'any size'}, "
                f"not {value}"
            )
    return replace(row, **budget)
