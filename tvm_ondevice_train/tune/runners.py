"""Where candidates run and what they cost there: in the emulator, on this computer, on a board."""

from __future__ import annotations

import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..boards import Board
from ..boards import board as find_board
from ..device import Session, build
from ..errors import OdtError
from ..project import generate_project
from .firmware import Batch, name_of

SECONDS = 10.0  # that a candidate may take
_RIGHT, _WRONG = 1, 2  # what the program says of a candidate's results
Run = tuple[int, int, str | None]  # of a candidate: verdict, cost, error


@dataclass(frozen=True)
class Measured:
    """What a candidate costs; or why there is nothing to say.

    cost : in the runner's unit. flash_bytes : of its code, None where that is unknown.
    """

    cost: int | None = None
    flash_bytes: int | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Runner(ABC):
    """Says what the candidates of a batch cost.

    unit : of the costs.
    seconds : that a candidate may take, before it counts as failed.
    """

    unit = "guest instructions"

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds

    @abstractmethod
    def measure(self, batch: Batch, flash_growth: int | None = None) -> list[Measured]:
        """Each candidate of `batch`; the first is the reference, and always runs.

        A candidate is not run whose code is `flash_growth` bytes larger than the reference's, or
        more. One whose results differ from the reference's has no cost.
        """


class LocalRunner(Runner):
    """Builds a program of the candidates here, and runs it here or on what hangs on here.

    If it does not end in time or dies, each candidate runs again on its own.
    """

    def measure(self, batch: Batch, flash_growth: int | None = None) -> list[Measured]:
        board = find_board(batch.board)
        platform = board.platforms[0]
        board = _as_large_as_possible(board)
        with tempfile.TemporaryDirectory() as scratch:
            project = Path(scratch, "candidates")
            generate_project(batch.files, batch.manifest, board, platform, project)
            try:
                program = build(project)
            except OdtError as error:
                return [Measured(error=str(error))] * batch.count
            sizes = _function_sizes(program, [name_of(i) for i in range(batch.count)])
            growth = math.inf if flash_growth is None else flash_growth
            chosen = [i for i, size in enumerate(sizes) if i == 0 or size < sizes[0] + growth]
            results = self._measured(project, chosen, batch.count)
        return [
            _judged(*results.get(index, (0, 0, "its code is too large")), size)
            for index, size in enumerate(sizes)
        ]

    def _measured(self, project: Path, chosen: list[int], count: int) -> dict[int, Run]:
        try:
            return self._run(project, chosen, count)
        except OdtError as error:
            if chosen == [0]:
                return {0: (0, 0, str(error))}
        results: dict[int, Run] = {}
        for index in chosen:
            try:
                results |= self._run(project, sorted({0, index}), count)
            except OdtError as error:
                results[index] = (0, 0, str(error))
        return results

    @abstractmethod
    def _run(self, project: Path, chosen: Sequence[int], count: int) -> dict[int, Run]:
        """How those of the built `project` that are `chosen` ran, without errors."""


class EmulatorRunner(LocalRunner):
    """Guest instructions in QEMU, by the counting plugin: the same each time."""

    def _run(self, project: Path, chosen: Sequence[int], count: int) -> dict[int, Run]:
        names = [name_of(index) for index in range(count)]
        with Session(project, self.seconds * len(chosen), kernels=[*names, "judge"]) as device:
            words = _words(device.predict(_flags(chosen, count)))
        costs = {name: cost for name, cost in device.calls["predict"] if name != "judge"}
        return {index: (int(words[2 * index]), costs[names[index]], None) for index in chosen}


class HostRunner(LocalRunner):
    """Time on this computer, the least of `repeats` runs."""

    unit = "ns"

    def __init__(self, seconds: float = SECONDS, repeats: int = 20) -> None:
        super().__init__(seconds)
        self.repeats = repeats

    def _run(self, project: Path, chosen: Sequence[int], count: int) -> dict[int, Run]:
        with Session(project, self.seconds * len(chosen)) as device:
            return self._least(lambda: device.predict(_flags(chosen, count)), chosen)

    def _least(self, predict: Callable[[], np.ndarray], chosen: Sequence[int]) -> dict[int, Run]:
        runs = [_words(predict()) for _ in range(self.repeats)]
        return {
            index: (
                max(int(words[2 * index]) for words in runs),
                min(int(words[2 * index + 1]) for words in runs),
                None,
            )
            for index in chosen
        }


class BoardRunner(HostRunner):
    """Cycles on a real board, over a serial line.

    port : the line, as `Session` has it.
    flash : what brings a built program to the board and starts it.
    """

    unit = "cycles"

    def __init__(
        self,
        port: str,
        flash: Callable[[Path], None],
        seconds: float = SECONDS,
        repeats: int = 1,
    ) -> None:
        super().__init__(seconds, repeats)
        self.port, self.flash = port, flash

    def _run(self, project: Path, chosen: Sequence[int], count: int) -> dict[int, Run]:
        self.flash(build(project))
        with Session(project, self.seconds * len(chosen), port=self.port) as device:
            return self._least(lambda: device.predict(_flags(chosen, count)), chosen)


def _as_large_as_possible(board: Board) -> Board:
    """The board with all memory that the machine has: many candidates are in one program."""
    if board.is_host:
        return board
    limits = board.sram_limit_bytes, board.flash_limit_bytes
    return find_board(board.name, *limits)


def _function_sizes(program: Path, names: Sequence[str]) -> list[int]:
    """Bytes of code of each function."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with open(program, "rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection), "we link without stripping"
        found = {symbol.name: symbol["st_size"] for symbol in table.iter_symbols()}
    return [found[name] for name in names]


def _flags(chosen: Sequence[int], count: int) -> np.ndarray:
    flags = np.zeros(count, np.int8)
    flags[list(chosen)] = 1
    return flags


def _words(output: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(output).view(np.uint32).reshape(-1)


def _judged(verdict: int, cost: int, error: str | None, flash_bytes: int) -> Measured:
    if error is None and verdict != _RIGHT:
        error = "its results are not those of the default schedule"
    if error is not None:
        return Measured(None, flash_bytes, error)
    return Measured(cost, flash_bytes)
