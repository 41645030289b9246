"""A live view of a run in the terminal: `ondevice-train monitor`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OdtError
from ..files.plain_text import printable
from ..learning.progress import NAME as LOG
from ..learning.progress import Follower, Progress
from .chart import line_chart

if TYPE_CHECKING:
    from rich.console import Console

_SECONDS = 0.25  # from one look at the log to the next
_RECENT = 100  # steps whose mean is "the loss now"
_CHART_ROWS = (12, 8)  # of the losses, of the evaluations
_MARGIN = 2


def monitor(directory: str | Path, once: bool = False) -> None:
    """Show the run in `directory` until it ends; `once`: as it stands.

    Where there is no terminal, a line each time that it went on. Raises OdtError where `once` finds
    no run.
    """
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    follower = Follower(directory)
    try:
        if once:
            _show_once(console, follower, directory)
        elif console.is_terminal:
            _show_live(console, follower, directory)
        else:
            _print_lines(console, follower)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, OdtError):
            raise
        raise OdtError(
            f"monitor: {Path(directory, LOG)} is damaged; start a run with `ondevice-train run`"
        ) from None
    finally:
        follower.close()


def view(progress: Progress, width: int, ascii_only: bool = False) -> list[str]:
    """How a run stands, as lines of text no longer than `width`."""
    lines = [_title(progress), _numbers(progress), ""]
    charts = [("loss", progress.losses, _CHART_ROWS[0])]
    for key in ("accuracy", "error"):
        for of in ("validation", "test", "training"):
            evaluated = [found for _, found in progress.evaluations if found["of"] == of]
            values = [found[key] for found in evaluated if key in found]
            if len(values) > 1:
                charts.append((f"{key}, of the {of} set", values, _CHART_ROWS[1]))
    for name, values, rows in charts:
        if values:
            lines += [name, *line_chart(values, width, rows, ascii_only), ""]
    return [line[:width] for line in lines[:-1]]


def _title(progress: Progress) -> str:
    facts = progress.facts
    return printable(f"{facts['model']} on {facts['board']}, scheme {facts['scheme']}")


def _numbers(progress: Progress) -> str:
    """Step, speed, time left, loss, accuracy, in one line."""
    parts = [f"step {progress.step:,} of {progress.facts['last']:,}"]
    speed = _steps_per_second(progress.times)
    if progress.state != "running":
        parts.append(progress.state)
    elif speed:
        left = (progress.facts["last"] - progress.step) / speed
        parts.append(f"{speed:.1f} steps/s, {_clock(left)} left")
    if progress.losses:
        recent = progress.losses[-_RECENT:]
        parts.append(f"loss {sum(recent) / len(recent):.4f} (last {len(recent)})")
    if progress.diverged:
        parts.append(f"{progress.diverged:,} diverged")
    if progress.evaluations:
        step, values = progress.evaluations[-1]
        shown = [f"{values['accuracy']:.1%} right"] if "accuracy" in values else []
        shown += [f"squared error {values['error']:.4g}"] if "error" in values else []
        shown += [f"{values['not_finite']} not finite"] if "not_finite" in values else []
        parts.append(f"{shown[0]} at step {step:,}")
    return "   ".join(parts)


def _steps_per_second(times: Sequence[float]) -> float:
    recent = times[-_RECENT - 1 :]
    seconds = recent[-1] - recent[0] if recent else 0.0
    return (len(recent) - 1) / seconds if seconds > 0 else 0.0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _show_once(console: Console, follower: Follower, directory: str | Path) -> None:
    follower.update()
    if follower.progress is None:
        raise OdtError(f"monitor: {directory} holds no run; start one with `ondevice-train run`")
    console.print("\n".join(_fitted(console, follower.progress)))


def _show_live(console: Console, follower: Follower, directory: str | Path) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(console=console, auto_refresh=False) as live:
        goes_on = True
        while goes_on:
            goes_on = follower.update()
            lines = [f"waiting for `ondevice-train run {directory}`"]
            if follower.progress is not None:
                lines = _fitted(console, follower.progress)
            live.update(Text("\n".join(lines)), refresh=True)
            if goes_on:
                time.sleep(_SECONDS)


def _fitted(console: Console, progress: Progress) -> list[str]:
    columns = shutil.get_terminal_size((console.width, 24)).columns
    return view(progress, columns - _MARGIN, "utf" not in console.encoding.lower())


def _print_lines(console: Console, follower: Follower) -> None:
    shown, goes_on = "", True
    while goes_on:
        goes_on = follower.update()
        if follower.progress is not None:
            line = _numbers(follower.progress)
            if line != shown:
                console.print(shown := line)
        if goes_on:
            time.sleep(_SECONDS)
