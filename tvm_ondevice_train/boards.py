"""The boards that a project can be made for: one table, boards.json."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from .architectures import RECORDS, Architecture, Core
from .c_runtime import drivers
from .errors import OdtError
from .files import checked_json as checked

DEFAULT_BOARD = "mps2-an500"
BAUD = 115200  # of every serial line; 8 data bits, no parity, one stop bit
_HOST = "host"  # what stands for a CPU in the rows whose programs run on this computer
_ARCHITECTURES = {cpu: record for record in RECORDS.values() for cpu in record.cores}
_CORES = {cpu: record.cores[cpu] for cpu, record in _ARCHITECTURES.items()}
_CORES[_HOST] = Core(cflags=(), fpu=True)
_DRIVERS = {"uart": "uart", "store": "flash"}  # column -> what its driver's file begins with


@dataclass(frozen=True)
class ZephyrMemory:
    """What Zephyr's devicetree of a board gives an application, and what Zephyr takes of it.

    sram_bytes, flash_bytes : of the regions that a program is linked into.
    dtcm_bytes : of a DTCM beside that SRAM, where what trains may lie.
    own_sram_bytes, own_flash_bytes : of Zephyr 3.5 itself: what `west build` prints of an
        application's RAM and flash, less the account without them. None where it is not known.
    is_measured : whether those two were read from builds for this very board.
    """

    sram_bytes: int
    flash_bytes: int
    dtcm_bytes: int = 0
    own_sram_bytes: int | None = None
    own_flash_bytes: int | None = None
    is_measured: bool = False


@dataclass(frozen=True)
class Board:
    """One row of boards.json; `sram_bytes` and `flash_bytes` are the budget a project must meet.

    The host has neither budget nor addresses. The limits are what the machine really has: a
    budget may be moved up to them. A row without addresses is for Zephyr alone, which has its own.

    cpu, core : its name in `architectures`, and what is known of it there.
    vectors_origin : where the core looks for its vector table at reset, where that is not in the
        flash itself.
    qemu_machine, qemu_cpu : QEMU's names where it emulates the board; the CPU only where the
        machine has a choice.
    zephyr : Zephyr version -> its name of the board; None where there is none.
    zephyr_memory : what an application has there; None where it has this computer's.
    uart : "driver", one of runtime/c/port/uart_*.c, "base" address, "clock_hz" at reset, and what
        else that driver wants to know of the board: "tx_pin" is its BOARD_UART_TX_PIN.
    store : how a program writes the board's own flash, for what was learned: "driver", one of
        runtime/c/port/flash_*.c, "page_bytes", what is erased at a time, and what else that driver
        wants to know. None where it cannot.
    flasher : the command that brings {elf} to the board.
    """

    name: str
    description: str
    cpu: str
    core: Core
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    ram_origin: int | None = None
    flash_origin: int | None = None
    vectors_origin: int | None = None
    sram_limit_bytes: int | None = None
    flash_limit_bytes: int | None = None
    qemu_machine: str | None = None
    qemu_cpu: str | None = None
    zephyr: Mapping[str, str] | None = field(default=None, hash=False)
    zephyr_memory: ZephyrMemory | None = None
    uart: Mapping | None = field(default=None, hash=False)
    store: Mapping | None = field(default=None, hash=False)
    flasher: tuple[str, ...] | None = None

    @property
    def is_host(self) -> bool:
        """Whether programs for this board run as a process of this computer."""
        return self.cpu == _HOST

    @property
    def architecture(self) -> Architecture:
        """Which compiler, emulator and start-up code; not of a process of this computer."""
        return _ARCHITECTURES[self.cpu]

    @property
    def zephyr_names(self) -> tuple[str, ...]:
        """What Zephyr calls the board, its oldest version first; none where it has no such one."""
        return tuple((self.zephyr or {}).values())

    @property
    def compiler(self) -> str:
        """The program that compiles for this board's core."""
        return "gcc" if self.is_host else self.architecture.compiler

    @property
    def platforms(self) -> tuple[str, ...]:
        """What a project for this board can run as, the default first.

        Any board's project can also be built as "host", which runs the same step here.
        """
        own = (("baremetal", self.ram_origin), ("zephyr", self.zephyr))
        return tuple(name for name, fact in own if fact is not None) or ("host",)

    @property
    def transports(self) -> tuple[str, ...]:
        """How a bare-metal project can talk to the host, the default first."""
        own = (("semihosting", self.qemu_machine), ("uart", self.uart))
        bare = "baremetal" in self.platforms
        return tuple(name for name, fact in own if bare and fact is not None)


@cache
def _table() -> dict[str, Board]:
    return read_table(json.loads(Path(__file__).with_name("boards.json").read_text()))


def read_table(rows: Mapping[str, Mapping]) -> dict[str, Board]:
    """The boards of `rows`, as boards.json has them.

    Raises OdtError, in one line that names the row, for anything that is none, such as a CPU that
    no architecture has or a driver that the runtime lacks.
    """
    return {name: _board(name, row) for name, row in rows.items()}


def _board(name: str, row: Mapping) -> Board:
    try:
        facts = _ROW(row, "")
        for column, kind in _DRIVERS.items():
            if column in facts:
                _known(f"{kind} driver", facts[column]["driver"], drivers(kind))
        _known("CPU", facts["cpu"], _CORES)
        if "ram_origin" in facts or "uart" in facts:  # bare metal
            missing = [column for column in _BARE_METAL if column not in facts]
            if missing:
                raise OdtError(f"{missing[0]} is missing; a row with addresses has it")
    except OdtError as error:
        raise OdtError(f"boards.json: {name}: {error}") from None
    return Board(name=name, core=_CORES[facts["cpu"]], **facts)


def _known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise OdtError(f"unknown {what} {name!r}; known are {', '.join(known)}")


def _address(value: Any, key: str) -> int:
    """Hexadecimal text."""
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{1,8}", value):
        raise OdtError(
            f"{key} is {checked.shown(value)}; it must be an address, such as 0x20000000"
        )
    return int(value, 16)


def _driven(*needed: str) -> checked.Check[dict]:
    """What a driver wants to know of the board stays as it is written."""

    def check(value: Any, key: str) -> dict:
        facts = checked.named(lambda entry, _key: entry)(value, key)
        for name in ("driver", *needed):
            if name not in facts:
                raise OdtError(f"{key}.{name} is missing")
        checked.text(facts["driver"], f"{key}.driver")
        return facts

    return check


_SIZE = checked.integer(1, (1 << 32) - 1)
_ZEPHYR_SIZES = ("sram_bytes", "flash_bytes", "dtcm_bytes", "own_sram_bytes", "own_flash_bytes")
_COLUMNS: dict[str, checked.Check[Any]] = {
    "description": checked.text,
    "cpu": checked.text,
    "sram_bytes": _SIZE,
    "flash_bytes": _SIZE,
    "sram_limit_bytes": _SIZE,
    "flash_limit_bytes": _SIZE,
    "ram_origin": _address,
    "flash_origin": _address,
    "vectors_origin": _address,
    "qemu_machine": checked.text,
    "qemu_cpu": checked.text,
    "zephyr": checked.named(checked.text),
    "zephyr_memory": checked.record(
        ZephyrMemory,
        {**dict.fromkeys(_ZEPHYR_SIZES, _SIZE), "is_measured": checked.flag},
        may_miss={*_ZEPHYR_SIZES[2:], "is_measured"},
    ),
    "uart": _driven("base", "clock_hz"),
    "store": _driven(),
    "flasher": checked.listed(checked.text, 1),
}
_BARE_METAL = ("sram_bytes", "flash_bytes", "ram_origin", "flash_origin", "uart")
_ROW: checked.Check[dict[str, Any]] = checked.record(
    dict, _COLUMNS, may_miss=_COLUMNS.keys() - {"description", "cpu"}
)


def boards() -> tuple[Board, ...]:
    """Every board, in the order of the table."""
    return tuple(_table().values())


def zephyr_itself(memory: ZephyrMemory) -> tuple[int, int]:
    """SRAM and flash, in bytes, that Zephyr takes; where not known the most of any known board."""
    known = [memory] if memory.own_flash_bytes else [row.zephyr_memory for row in boards()]
    return (
        max(entry.own_sram_bytes or 0 for entry in known if entry),
        max(entry.own_flash_bytes or 0 for entry in known if entry),
    )


def board(name: str, sram_bytes: int | None = None, flash_bytes: int | None = None) -> Board:
    """The board called `name`, here or in some version of Zephyr; with another budget where given.

    Raises OdtError for an unknown name, and for a budget that the board cannot have.
    """
    row = _table().get(name) or next((row for row in boards() if name in row.zephyr_names), None)
    if row is None:
        known = ", ".join(_table())
        raise OdtError(f"board: unknown board {name!r}; known boards are {known}")
    sizes = {"sram_bytes": sram_bytes, "flash_bytes": flash_bytes}
    budget: dict[str, Any] = {size: value for size, value in sizes.items() if value is not None}
    for size, value in budget.items():
        limit = getattr(row, size.replace("_bytes", "_limit_bytes"))
        if value <= 0 or (limit is not None and value > limit):
            raise OdtError(
                f"board: {size} of {name} must lie between 1 and {limit or 'any size'}, not {value}"
            )
    return replace(row, **budget)
