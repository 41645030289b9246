"""Many runs of a model in this computer's processes: all schemes, at all rates, with all seeds."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from relay_passes.optimizers import HYPERPARAMETERS

from ..data import Reading
from ..errors import OdtError
from ..files.plain_text import shortened
from ..options import Options
from ..run.options import RunOptions
from .worker import LINE, Samples, end_with_parent, prepare, run

RUNS = "runs.jsonl"
_KEYS = ("run", "scheme", "seed", *LINE)  # of a line


@dataclass(frozen=True)
class Wanted:
    """One run. learning_rate : None for the one that `find_rate` finds."""

    scheme: str
    learning_rate: float | None
    seed: int


@dataclass(frozen=True)
class Sweep:
    """What is simulated. Raises OdtError for nothing to do.

    model : a model file. data, reading : what `load_data` takes; a path. options, run : of each
    run, but for the scheme, the rate and the seed; the seed s of a run is that of ``run`` plus s.
    """

    model: str
    data: str
    schemes: tuple[str, ...]
    learning_rates: tuple[float | None, ...]
    seeds: int
    options: Options
    run: RunOptions
    reading: Reading = Reading()  # noqa: RUF009 - a frozen value

    def __post_init__(self) -> None:
        for name in ("schemes", "learning_rates"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise OdtError(f"simulate: {name} are {values}; give each once, and one at least")
        for rate in self.learning_rates:
            _check_rate(rate)
        if self.seeds < 1:
            raise OdtError(f"simulate: seeds is {self.seeds}; it must be at least 1")

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Every run."""
        return tuple(
            Wanted(scheme, rate, self.run.seed + seed)
            for scheme, rate, seed in product(self.schemes, self.learning_rates, range(self.seeds))
        )

    def options_of(self, scheme: str) -> Options:
        return replace(self.options, scheme=scheme)

    def key(self, wanted: Wanted) -> str:
        """Tells apart runs that may differ in anything: what they are made of, and how."""
        options, rate = self.options_of(wanted.scheme), wanted.learning_rate
        facts = {
            "files": [_fingerprint(path) for path in (self.model, self.data, wanted.scheme)],
            "options": repr(options),
            "reading": repr(self.reading),
            "run": asdict(replace(self.run, seed=wanted.seed)),
            "learning_rate": ["found with seed", self.run.seed] if rate is None else rate,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def simulate(
    sweep: Sweep,
    output: str | os.PathLike[str],
    jobs: int | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Do every run of `sweep` that is not in the folder `output`; all of them, and what failed.

    A finished run is a line in ``runs.jsonl`` there: what `Sweep.key` tells it by, its scheme,
    rate and seed, its evaluations, its mean loss of each epoch, and the account of its scheme.
    A scheme that cannot be compiled is left out: scheme -> why.

    jobs : processes; by default one for each CPU. on_progress : done, total, which run.
    """
    path = Path(output) / RUNS
    keys = {sweep.key(wanted): wanted for wanted in sweep.wanted}
    found = {line["run"]: line for line in _read(path) if str(line["run"]) in keys}
    missing = {key: wanted for key, wanted in keys.items() if key not in found}
    done, failed = len(found), dict[str, str]()
    on_progress(done, len(keys), "")
    if not missing:
        return [found[key] for key in keys], failed
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OdtError(f"simulate: cannot write {output}: {error.strerror}") from None
    context = multiprocessing.get_context("spawn")  # TVM has threads
    count = min(jobs or os.cpu_count() or 1, len(missing))
    workers = ProcessPoolExecutor(count, mp_context=context, initializer=end_with_parent)
    with workers as pool:
        try:
            accounts = {line["scheme"]: line["account"] for line in found.values()}
            for key, line in _run_all(pool, sweep, missing, accounts, failed):
                found[key] = {"run": key, **line}
                _append(path, found[key])
                done += 1
                on_progress(done, len(keys), line["scheme"])
        except BrokenExecutor:
            raise OdtError(
                "simulate: a process was ended from outside, as where memory is short: give fewer "
                f"--jobs than {count}; the same command goes on behind the {done} runs in {path}"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [found[key] for key in keys if key in found], failed


def _run_all(
    pool: ProcessPoolExecutor,
    sweep: Sweep,
    missing: dict[str, Wanted],
    accounts: dict[str, dict[str, Any]],
    failed: dict[str, str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and line of each run, as they end; those of a scheme begin once it is compiled.

    accounts : of the schemes that have earlier runs.
    """
    finds, samples = None in sweep.learning_rates, Samples(sweep.data, sweep.reading)
    schemes = dict.fromkeys(wanted.scheme for wanted in missing.values())
    compiling: dict[Future, str] = {}
    for scheme in schemes:
        options, account = sweep.options_of(scheme), accounts.get(scheme)
        task = sweep.model, options, samples, sweep.run, finds, account
        compiling[pool.submit(prepare, *task)] = scheme
    running: dict[Future, str] = {}
    while compiling or running:
        ended, _ = wait([*compiling, *running], return_when=FIRST_COMPLETED)
        for future in ended & compiling.keys():
            scheme, prepared = compiling.pop(future), future.result()
            if isinstance(prepared, str):
                failed[scheme] = prepared
                continue
            for key, wanted in missing.items():
                if wanted.scheme == scheme:
                    asked = replace(sweep.run, seed=wanted.seed)
                    rate = wanted.learning_rate
                    running[pool.submit(run, prepared, samples, asked, rate)] = key
        for future in ended & running.keys():
            key, line = running.pop(future), future.result()
            yield key, {"scheme": missing[key].scheme, "seed": missing[key].seed, **line}


def _check_rate(rate: float | None) -> None:
    """OdtError for a learning rate that no device takes, or that changes nothing."""
    try:
        if rate is not None and HYPERPARAMETERS["learning_rate"].check(rate) == 0:
            raise ValueError("learning_rate is 0; it must be above 0")
    except ValueError as error:
        raise OdtError(f"simulate: {error}") from None


def _append(path: Path, line: dict[str, Any]) -> None:
    """In one piece, as another call may write there, too; behind what was cut off in a new line."""
    with open(path, "a+b", buffering=0) as lines:
        end = lines.seek(0, os.SEEK_END)
        lines.seek(max(0, end - 1))
        is_cut = lines.read(1) not in (b"", b"\n")
        lines.write(b"\n" * is_cut + json.dumps(line).encode() + b"\n")


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of earlier calls; what was cut off or is no such line is not there."""
    lines = []
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and all(key in line for key in _KEYS):
            lines.append(line)
    return lines


def _fingerprint(path: str) -> Any:
    """Of what lies at `path`: a file's content, a folder's names, sizes and times; or the text."""
    where = Path(path)
    if where.is_file():
        return hashlib.sha256(where.read_bytes()).hexdigest()
    if where.is_dir():
        stats = ((p, p.stat()) for p in sorted(where.rglob("*")) if p.is_file())
        return [[str(p.relative_to(where)), s.st_size, s.st_mtime_ns] for p, s in stats]
    return path


def rows_of(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each scheme and rate: mean and standard deviation over its seeds."""
    groups: dict[tuple[str, float | str], list[dict[str, Any]]] = {}
    for line in lines:
        rate = "auto" if line["rate_was_found"] else line["learning_rate"]
        groups.setdefault((line["scheme"], rate), []).append(line)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first = group[0]
    key = "accuracy" if "accuracy" in first["after"] else "error"
    values = [line["after"].get(key) for line in group if line["after"].get(key) is not None]
    mean = sum(values) / len(values) if values else None
    spread = None
    if mean is not None and len(values) > 1:
        spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    rates = [line["learning_rate"] for line in group]
    return {
        "scheme": shortened(first["scheme"], 60),
        "learning_rate": sum(rates) / len(rates),
        "rate_was_found": first["rate_was_found"],
        "runs": len(group),
        "stopped": sum(line["stopped"] is not None for line in group),
        "of": key,
        "mean": mean,
        "std": spread,
        **first["account"],
    }
