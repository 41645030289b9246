"""What the processes of a sweep do: compile a scheme, and run it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import Data, Reading, load_data
from ..errors import OdtError
from ..learning.classes import use_classes
from ..learning.held_out import with_validation
from ..learning.plan import Plan
from ..learning.training import Training
from ..manifest import Manifest
from ..options import Options
from ..run.options import RunOptions
from ..run.result import result_of
from .board_account import board_account
from .host_model import HostModel, host_model
from .rate_search import find_rate
from .simulation import Simulation

LINE = (  # what `run` returns
    *("learning_rate", "rate_was_found", "evaluations", "epochs", "after", "stopped", "warnings"),
    "account",
)
_kept: dict[tuple[str, str], tuple[Simulation, Data]] = {}  # the last one of this process


@dataclass(frozen=True)
class Samples:
    """Where they are, and how they are read."""

    path: str
    reading: Reading

    def load(self, manifest: Manifest) -> Data:
        return load_data(self.path, manifest, self.reading)


@dataclass(frozen=True)
class Prepared:
    """A model for one scheme, what it needs of its board, and a rate, where one is to be found."""

    model: HostModel
    account: dict[str, Any]
    learning_rate: float | None


def end_with_parent() -> None:
    """For a worker's start: one whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "see ProcessPoolExecutor"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def prepare(
    model: str,
    options: Options,
    samples: Samples,
    asked: RunOptions,
    finds: bool,
    account: dict[str, Any] | None,
) -> Prepared | str:
    """Compile for the board, and for this computer; or why that cannot be.

    finds : whether a learning rate is wanted. account : that of an earlier run, if there is one:
    the board's program is not built again then.
    """
    from ..compiler import compile  # here: it loads TVM

    try:
        compiled = compile(model, options)
        prepared = Prepared(host_model(compiled), {}, None)
        _, loaded = _ready(prepared, samples, asked)  # refused, if at all, before a run
        account = account or board_account(compiled, loaded)
        plan, rate = _plan(prepared, loaded, asked), None
        if finds:
            rate = find_rate(prepared.model, loaded, plan.schedule, asked.seed, plan.rehearsals)
        return Prepared(prepared.model, account, rate)
    except OdtError as error:
        return str(error)


def run(
    prepared: Prepared, samples: Samples, asked: RunOptions, rate: float | None
) -> dict[str, Any]:
    """One run to its end, or to where it diverges. rate : None for the one that was found."""
    simulation, loaded = _ready(prepared, samples, asked)
    found = prepared.learning_rate if rate is None else rate
    assert found is not None, "see prepare"
    simulation.reset()
    simulation.set_seed(asked.seed)
    use_classes(simulation, loaded)
    training = Training(simulation, loaded, _plan(prepared, loaded, asked, found))
    training.run()
    result = result_of(training)
    return {
        "learning_rate": found,
        "rate_was_found": rate is None,
        "evaluations": result["evaluations"],
        "epochs": result["epochs"],
        "after": training.after or {},
        "stopped": result["stopped"],
        "warnings": [*result["data_warnings"], *result["warnings"]],
        "account": prepared.account,
    }


def _plan(prepared: Prepared, data: Data, asked: RunOptions, rate: float = 0.0) -> Plan:
    """Of a run from the beginning, at `rate` as a device has it."""
    asked = asked.of_project(prepared.model.manifest)
    return asked.plan(len(data.x), learning_rate=float(np.float32(rate)))


def _ready(prepared: Prepared, samples: Samples, asked: RunOptions) -> tuple[Simulation, Data]:
    """A simulation, with the features of its samples where this process had it last, and data."""
    model = prepared.model
    key = str(model.library), repr(samples)
    if key not in _kept:
        _kept.clear()
        loaded = samples.load(model.manifest)
        _kept[key] = Simulation(model, trains_again=loaded.augment is None), loaded
    simulation, loaded = _kept[key]
    return simulation, with_validation(loaded, asked.validation, asked.seed, model.manifest)
