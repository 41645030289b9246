"""What a sweep and a search for a learning rate found, as tables; and how far a sweep is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tvm_ondevice_train.files.plain_text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tvm_ondevice_train.simulator import RateSearch


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line for each scheme and rate; of a mean its standard deviation over the seeds.

    The time of a step is in instructions of the board, and in MACs where one cannot be emulated.
    """
    flash = "flash" if all(row["flash_holds_code"] for row in rows) else "flash, without code"
    reasons = dict.fromkeys(row["not_emulated"] for row in rows if row["not_emulated"])
    time = "MACs a step" if reasons else "instructions a step"
    table = _table("scheme", "learning rate", "runs", rows[0]["of"], "SRAM", flash, time)
    for row in rows:
        rate = f"{row['learning_rate']:g}" + (", found" if row["rate_was_found"] else "")
        macs = row["macs_forward"] + row["macs_backward"]
        ended = f", {row['stopped']} diverged" if row["stopped"] else ""
        table.add_row(
            printable(row["scheme"]),
            rate,
            f"{row['runs']}{ended}",
            _mean(row),
            f"{row['peak_sram_bytes']:,}",
            f"{row['flash_bytes']:,}",
            f"{macs if reasons else row['instructions_per_step']:,}",
        )
    _console().print(table)
    for why in reasons:
        _console().print(f"MACs, since instructions cannot be counted: {why}", soft_wrap=True)


def _mean(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return ""
    spread = row["std"]
    if row["of"] == "accuracy":
        return f"{row['mean']:.1%}" + ("" if spread is None else f" ± {100 * spread:.1f}")
    return f"{row['mean']:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


def print_search(search: RateSearch) -> None:
    """A line for each rate that was tried, and the choice."""
    table = _table("learning rate", "held-out loss", "accuracy", "")
    for trial in search.trials:
        accuracy = "" if trial.accuracy is None else f"{trial.accuracy:.1%}"
        mark = "best" if trial is search.best else ""
        table.add_row(f"{trial.learning_rate:.3g}", f"{trial.loss:.4g}", accuracy, mark)
    _console().print(table)
    _console().print(
        f"\nRuns of {search.steps:,} steps each. Learning rate for the whole run: "
        f"{search.learning_rate:g}"
    )


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None]]:
    """A function `show(done, total, what)`; on a terminal a bar, elsewhere nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total, what: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("compiling", total=None)

        def show(done: int, total: int, what: str) -> None:
            text = "simulating" if what else "compiling"
            bar.update(task, description=text, completed=done, total=total)

        yield show


def _console() -> Console:
    from rich.console import Console

    return Console(markup=False, highlight=False)


def _table(*headings: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    return table
