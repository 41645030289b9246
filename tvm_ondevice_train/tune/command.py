"""`ondevice-train tune`: what it asks becomes a runner, what was found a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..boards import board as find_board
from ..cli.display import print_tuning, tuning_progress
from ..device.line import flash_with
from ..errors import OdtError
from ..manifest import read_manifest
from .runners import BoardRunner, EmulatorRunner, HostRunner, Runner


def tune_and_show(
    model: str, options: Mapping, *, output, trials, runner, line, tracker, seed, jobs
):
    """Tune and print a table of the kernels; `options` are those of the command `compile`."""
    from .tuner import tune

    options, board = _options(model, options)
    with tuning_progress() as show:
        result = tune(
            **options,
            board=board,
            output=output,
            trials=trials,
            runner=_runner(runner, board, line, tracker),
            seed=seed,
            jobs=jobs,
            made_by=_command(model, options, board, trials, seed),
            on_progress=show,
        )
    print_tuning(result)
    print(f"\nCompile with --tuning {output}")


def _options(model: str, options: Mapping) -> tuple[dict, str]:
    """The arguments of `compile`, from the command line or from a project's manifest."""
    options = dict(options)
    board = options.pop("board")
    for name in ("sram", "flash"):
        options[f"{name}_bytes"] = options.pop(name)
    if not Path(model).is_dir():
        return {"model": model, **options}, board
    manifest = read_manifest(model)
    made_from = manifest.made_from
    if made_from is None or not Path(made_from.model).exists():
        missing = f" {made_from.model}" if made_from else ""
        raise OdtError(
            f"tune: the model file{missing} that {model} was made from is not there; give the "
            "model file itself, with the options of `compile`"
        )
    return asdict(made_from), manifest.board


def _command(model: str, options: Mapping, board: str, trials: int, seed: int) -> str:
    words = ["ondevice-train tune", Path(model).name, f"--board {board}"]
    for name in ("classes", "scheme", "loss", "backward", "prefer", "sram", "flash"):
        value = options.get(name, options.get(f"{name}_bytes"))
        if value is not None:
            text = Path(value).name if name == "scheme" else value
            words.append(f"--{name} {text}")
    if not options.get("rollback", True):
        words.append("--no-rollback")
    return " ".join([*words, f"--trials {trials}", f"--seed {seed}"])


def _runner(name: str | None, board: str, line, tracker: str | None) -> Runner:
    is_host = find_board(board).is_host
    name = name or ("host" if is_host else "emulator")
    local = {"emulator": EmulatorRunner, "host": HostRunner, "board": BoardRunner}[name]
    if (name == "host") != is_host:
        raise OdtError(f"tune: runner {name} cannot run programs for board {board}")
    if tracker is not None:
        return _remote(tracker, local)
    if local is not BoardRunner:
        return local()
    port, flasher = line
    if port is None or flasher is None:
        raise OdtError("tune: runner board needs --port and --flasher")
    return BoardRunner(port, partial(flash_with, flasher))


def _remote(tracker: str, local: type[Runner]) -> Runner:
    from .remote import RemoteRunner

    host, port, key = (*tracker.split(":"), "", "")[:3]
    if not (host and port.isdecimal() and key):
        raise OdtError(f"tune: --tracker is {tracker!r}; it must be HOST:PORT:KEY")
    return RemoteRunner(host, int(port), key, local)
