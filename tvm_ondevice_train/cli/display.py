"""What the command line shows: tables, a progress bar on a terminal, plain lines elsewhere.

rich is imported where it is used, so that `ondevice-train --help` does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING

from tvm_ondevice_train.cli.class_table import class_table
from tvm_ondevice_train.files.plain_text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tvm_ondevice_train.boards import Board
    from tvm_ondevice_train.tune.tuner import TuningResult

_NUMBERS = ("bytes", "budget", "used", "SRAM", "flash", "calls", "default", "tuned", "less")
PLAIN_KERNELS = 3  # how many kernels in plain loops a summary names
LEFT_OUT = 3  # how many parameters that do not train a summary names
PLAIN_LINES = 20  # how many loss lines a run prints where there is no terminal


def print_memory(report: Mapping, board: Board) -> None:
    """The memory account of a project that was compiled for `board`, beside its budget."""
    _console().print(_memory(report, board), "")
    _print_facts(_facts(report))
    for kernel in sorted(report["plain_loops"], key=lambda row: -row["macs"])[:PLAIN_KERNELS]:
        text = f"  {kernel['share']:.1%} {kernel['op']}: {kernel['reason']}"
        _console().print(printable(text), soft_wrap=True)


def _memory(report: Mapping, board: Board) -> Table:
    parts = {
        "arena": report["arena_bytes"],
        "trainable state": report["trainable_state_bytes"],
        "stack, reserved": report["stack_bytes"],
    }
    if "zephyr_sram_bytes" in report:
        itself = "Zephyr itself" if report["zephyr_is_measured"] else "Zephyr itself, estimated"
        parts[itself] = report["zephyr_sram_bytes"]
    if report.get("replay_bytes"):
        parts["replay"] = report["replay_bytes"]
    parts["static data"] = report["peak_sram_bytes"] - sum(parts.values())
    table = _table(f"{printable(report['model'])} on {board.name}", "bytes", "budget", "used")
    for name, size_bytes in parts.items():
        table.add_row(f"  {name}", _number(size_bytes))
    table.add_row("SRAM", *_share(report["peak_sram_bytes"], report["sram_budget_bytes"]))
    if "zephyr_flash_bytes" in report:
        table.add_row(f"  {itself}", _number(report["zephyr_flash_bytes"]))
    kept = report.get("replay_flash_bytes", 0)
    if kept:
        table.add_row("  replay", _number(kept))
    flash = "flash" if report["flash_holds_code"] else "flash, without code"
    table.add_row(flash, *_share(report["flash_bytes"] + kept, report["flash_budget_bytes"]))
    return table


def _facts(report: Mapping) -> dict[str, str]:
    """What a summary says beside memory; what there is nothing to say of is left out."""
    trained = report["trained_parameters"].values()
    elements = sum(prod(parameter["shape"]) for parameter in trained)
    above = report["arena_bytes"] - report["arena_lower_bound_bytes"]
    return {
        "arena, lower bound": f"{_number(report['arena_lower_bound_bytes'])} bytes",
        "forward": _macs(report["macs_forward"], report["macs_forward_integer"]),
        "backward": _macs(report["macs_backward"], report["macs_backward_integer"]),
        f"trained by {report['scheme']}": f"{_number(elements)} values, "
        f"{len(trained)} parameter{'s' if len(trained) != 1 else ''}",
        **_said("head", report["head"], report["head"]),
        **_said("not trained", report["not_trained"], _not_trained(report["not_trained"])),
        **_said("output", report["output"].startswith("logits;"), report["output"]),
        **_said(
            "arena, above its bound",
            above,
            f"{_number(above)} bytes; no plan without them was found",
        ),
        **_said(
            "arena, for rollback",
            report["backup_bytes"],
            f"{_number(report['backup_bytes'])} bytes",
        ),
        **_said(
            f"batches of {report['batch']}",
            report["batch"],
            f"{_number(report['accumulator_bytes'])} bytes of the state, {report['accumulator']}",
        ),
        # the compiler is there, and refused
        **_said("without code, since", "not_built" in report, report.get("not_built")),
        **_said("replay", report.get("replay"), _replay(report.get("replay"))),
        **_said("in plain loops", report["plain_loops"], _in_plain_loops(report["plain_loops"])),
    }


def _kept(replay: Mapping | None) -> str:
    if replay is None:
        return ""
    text = f"{_number(replay['held'])} kept of {_number(replay['seen'])}, "
    text += f"{replay['rehearsals']} learned again after each new one"
    erases = replay["erases"]
    return text + (f"; {_number(erases)} blocks of flash erased" if erases else "")


def _replay(replay: Mapping | None) -> str:
    return "" if not replay else "{slots:,} {of}s in {memory}, {policy}".format(**replay)


def _said(what: str, holds: object, text: str | None) -> dict[str, str]:
    return {what: text} if holds and text else {}


def _in_plain_loops(kernels: Collection[Mapping]) -> str:
    share = sum(kernel["share"] for kernel in kernels)
    return f"{share:.1%} of the MACs, {len(kernels)} kernel{'s' if len(kernels) > 1 else ''}"


def _not_trained(reasons: Mapping[str, str]) -> str:
    """The first of what is left out, each with its reason, and how many more there are."""
    named = [f"{name} ({why})" for name, why in list(reasons.items())[:LEFT_OUT]]
    more = f" and {len(reasons) - LEFT_OUT} more" if len(reasons) > LEFT_OUT else ""
    return ", ".join(named) + more


def _macs(macs: int, integer: int) -> str:
    """So many multiply-accumulates, and in which arithmetic."""
    if integer in (0, macs):
        return f"{_number(macs)} MACs, {'integer' if integer else 'float32'}"
    share = min(max(integer / macs, 0.0001), 0.9999)  # some are never said to be none, or all
    return f"{_number(macs)} MACs, {share:.2%} integer, {1 - share:.2%} float32"


def print_run(result: Mapping) -> None:
    """What a training run measured; figures that its platform cannot give are left out."""
    losses, facts = result["losses"], {"steps": _number(result["steps"])}
    if result["diverged"]:
        facts["of them diverged"] = _number(len(result["diverged"]))
    if losses:
        facts["loss, first and last step"] = f"{losses[0]:.4f}, {losses[-1]:.4f}"
    if result.get("plan"):
        facts |= _plan(result)
    for name, key, form in (
        ("accuracy before", "accuracy_before", "{:.1%}"),
        ("accuracy after", "accuracy_after", "{:.1%}"),
        ("squared error before", "error_before", "{:.4g}"),
        ("squared error after", "error_after", "{:.4g}"),
        ("peak SRAM, measured", "peak_sram_bytes", "{:,} bytes"),
        ("stack, within it", "stack_bytes", "{:,} bytes"),
        ("stack, static bound", "stack_bound_bytes", "{:,} bytes"),
        ("flash", "flash_bytes", "{:,} bytes"),
        ("guest instructions per step", "instructions_per_step", "{:,}"),
        ("guest instructions forward", "instructions_forward", "{:,}"),
        ("cycles per step", "cycles_per_step", "{:,}"),
        ("cycles forward", "cycles_forward", "{:,}"),
        ("time", "wall_seconds", "{:.1f} s"),
    ):
        if result.get(key) is not None:
            facts[name] = form.format(result[key])
    facts |= _said("old samples", result.get("replay"), _kept(result.get("replay")))
    _print_facts(facts)
    table = class_table(result)
    if table is not None:
        _console().print("", table)
    remarks = _remarks(result)
    if remarks:
        _console().print("", *remarks, sep="\n", soft_wrap=True)


def _remarks(result: Mapping) -> list[str]:
    """A line for each lowering of the rate, for an end before its time, and for each warning."""
    lines = [
        "learning rate lowered to {learning_rate:.4g} at step {step:,}: {why}".format(**lowered)
        for lowered in result.get("lowered", ())
    ]
    if result.get("ended"):
        lines.append(result["ended"])
    return lines + [f"warning: {warning}" for warning in result["warnings"]]


def _plan(result: Mapping) -> dict[str, str]:
    """How the learning rate went, the mean loss of the epochs, and which step was kept."""
    plan, epochs = result["plan"], result["epochs"]
    schedule = plan["schedule"]
    warmup = f", warm-up {_number(schedule['warmup'])} steps" if schedule["warmup"] else ""
    facts = {"learning rate": f"{plan['learning_rate']:.4g}, {schedule['kind']}{warmup}"}
    if len(epochs) > 1:
        first, last = epochs[0]["loss"], epochs[-1]["loss"]
        facts["loss, means of first and last epoch"] = f"{first:.4f}, {last:.4f}"
    if result["best_step"] is not None:
        facts["kept, as the best"] = f"step {_number(result['best_step'])}"
    return facts


def print_boards(boards: Iterable[Board]) -> None:
    """One row a board; what it is only where the terminal has room for it."""
    console = _console()
    headings = ["board", "CPU", "SRAM", "flash", "has", "platforms", "runs in"]
    wide = console.width >= 140
    table = _table(*headings, *(["description"] if wide else []))
    table.collapse_padding = True
    for row in boards:
        runs_in = "host" if row.is_host else "QEMU" if row.qemu_machine else ""
        cells = [row.name, row.cpu, _size(row.sram_bytes), _size(row.flash_bytes)]
        cells += [_extensions(row), " ".join(row.platforms), runs_in]
        table.add_row(*cells, *([row.description] if wide else []))
    console.print(table)


def _extensions(row: Board) -> str:
    """What the core has beside its base; Helium has the DSP instructions in it."""
    names = ("fpu", "mve") if row.core.mve else ("fpu", "dsp")
    return " ".join(name for name in names if getattr(row.core, name))


def print_tuning(result: TuningResult) -> None:
    """What tuning gave each kernel, and the kernels of a step together."""
    unit = result.tuning.unit
    table = _table("kernel", "calls", "default", "tuned", "less")
    for kernel in result.kernels:
        calls = f"{kernel.train_calls} + {kernel.predict_calls}"
        table.add_row(kernel.name, calls, *_less(kernel.default_cost, kernel.cost))
    table.add_row(
        "step, of these kernels", "", *_less(result.step("default_cost"), result.step("cost"))
    )
    _console().print(table, "")
    _print_facts({"costs": f"{unit}; calls of a training step + of a prediction"})


def _less(default: int, tuned: int) -> tuple[str, str, str]:
    return _number(default), _number(tuned), f"{1 - tuned / default:.1%}" if default else ""


@contextmanager
def tuning_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A function `show(done, total, kernel)` to call whenever candidates were measured."""
    console = _console()
    if not console.is_terminal:
        yield lambda done, total, kernel: _tuning_line(console, done, total, kernel)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}")
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, kernel: bar.update(
            task, description=kernel, completed=done, total=total
        )


def _tuning_line(console: Console, done: int, total: int, kernel: str) -> None:
    console.print(f"candidate {done}/{total}  {kernel}")


@contextmanager
def status(text: str) -> Iterator[None]:
    """A spinner beside `text` while the block runs; nothing where there is no terminal."""
    console = _console()
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield


@contextmanager
def losses() -> Iterator[Callable[[int, int, float], None]]:
    """A function `show(step, steps, loss)` to call after each training step, counted from 1."""
    console = _console()
    if not console.is_terminal:
        yield lambda step, steps, loss: _plain(console, step, steps, loss)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    with Progress(*columns, TextColumn("{task.fields[loss]}"), console=console) as bar:
        task = bar.add_task("starting", total=None, loss="")

        def show(step: int, steps: int, loss: float) -> None:
            text = f"loss {loss:.4f}"
            bar.update(task, description="training", completed=step, total=steps, loss=text)

        yield show


def _plain(console: Console, step: int, steps: int, loss: float) -> None:
    """Some of the losses, the first and the last among them, a line each."""
    every = -(-steps // PLAIN_LINES)
    if step == 1 or step == steps or step % every == 0:
        console.print(f"step {step}/{steps}  loss {loss:.4f}")


def _console() -> Console:
    """A console that prints names as they are: no markup, no guessed highlighting."""
    from rich.console import Console

    return Console(markup=False, highlight=False)


def _table(*headings: str) -> Table:
    """An empty table; columns of bytes are set to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        right = heading in _NUMBERS
        table.add_column(heading, justify="right" if right else "left")
    return table


def _print_facts(facts: Mapping[str, str]) -> None:
    """Name and value, a line each."""
    width = max(map(len, facts))
    console = _console()
    for name, value in facts.items():
        console.print(printable(f"{name:{width}}  {value}"), soft_wrap=True)


def _share(used_bytes: int, budget_bytes: int | None) -> tuple[str, str, str]:
    """The cells of a sum: bytes, budget, and the share of the budget that is used."""
    if budget_bytes is None:
        return _number(used_bytes), "none", ""
    return _number(used_bytes), _number(budget_bytes), f"{used_bytes / budget_bytes:.0%}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _size(value: int | None) -> str:
    if value is None:
        return ""
    return f"{value >> 10} KB" if value % (1 << 20) else f"{value >> 20} MB"
