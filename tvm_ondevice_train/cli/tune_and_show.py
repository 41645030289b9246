"""`ondevice-train tune`: what it asks becomes a runner, what was found a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from ..boards import board as find_board
from ..device.line import flash_with
from ..errors import OdtError
from ..manifest import read_manifest, source_of
from ..options import Options
from ..tune.runners import BoardRunner, EmulatorRunner, HostRunner, Runner
from .display import print_tuning, tuning_progress


def tune_and_show(
    model: str,
    options: Mapping[str, Any],
    *,
    output: str,
    trials: int,
    runner: str | None,
    line: tuple[str | None, str | None],
    tracker: str | None,
    seed: int,
    jobs: int,
) -> None:
    """Tune and print a table of the kernels; `options` are those of the command `compile`."""
    from ..tune.tuner import tune

    options = _options(model, options)
    board = options["board"]
    with tuning_progress() as show:
        result = tune(
            **options,
            output=output,
            trials=trials,
            runner=_runner(runner, board, line, tracker),
            seed=seed,
            jobs=jobs,
            made_by=_command(model, options, trials, seed),
            on_progress=show,
        )
    print_tuning(result)
    print(f"\nCompile with --tuning {output}")


def _options(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `tune`, from the command line or from a project's manifest."""
    if not Path(model).is_dir():
        return {"model": model, **options}
    manifest = read_manifest(model)
    made_from = source_of(manifest, model, "tune")
    plain = made_from.options.to_json() or {}
    others = {entry.name for entry in fields(Options) if not entry.metadata["tunes"]}
    tuned = {name: value for name, value in plain.items() if name not in others}
    return {"model": made_from.model, **tuned, "board": manifest.board}


def _command(model: str, options: Mapping[str, Any], trials: int, seed: int) -> str:
    """The command line that asks the same; the optimizer's numbers cost nothing."""
    chosen = Options.of(**{name: value for name, value in options.items() if name != "model"})
    words = ["ondevice-train tune", Path(model).name]
    for entry in fields(Options):
        value = getattr(chosen, entry.name)
        if not entry.metadata["tunes"] or value is None:
            continue
        if entry.name == "rollback":
            words += [] if value else ["--no-rollback"]
            continue
        text = Path(value).name if entry.name == "scheme" else getattr(value, "name", value)
        words.append(f"{entry.metadata['flag']} {text}")
    for name, value in chosen.loss.parameters.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        words.append(f"--{name.replace('_', '-')} {text}")
    return " ".join([*words, f"--trials {trials}", f"--seed {seed}"])


def _runner(
    name: str | None, board: str, line: tuple[str | None, str | None], tracker: str | None
) -> Runner:
    is_host = find_board(board).is_host
    name = name or ("host" if is_host else "emulator")
    runners: dict[str, type[Runner]] = {
        "emulator": EmulatorRunner,
        "host": HostRunner,
        "board": BoardRunner,
    }
    local = runners[name]
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
    from ..tune.remote import RemoteRunner

    host, port, key = (*tracker.split(":"), "", "")[:3]
    if not (host and port.isdecimal() and key):
        raise OdtError(f"tune: --tracker is {tracker!r}; it must be HOST:PORT:KEY")
    return RemoteRunner(host, int(port), key, local)
