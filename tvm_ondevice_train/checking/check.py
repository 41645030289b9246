"""`check`: everything that is in a model's way, said at once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler import CompiledModel, compile
from ..data import Reading, Source
from ..errors import ModelError, Obstacle, OdtError, one_line
from ..float_head import AS_FLOAT, int8_head
from ..frontend import load
from ..losses import LOSSES
from ..options import Options
from .agreement import agreements
from .references import reference_of
from .report import Agreement, CheckReport

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def check(
    source: str | os.PathLike | ExportedProgram,
    data: Source | None = None,
    options: Options | None = None,
    *,
    reading: Reading | None = None,
    **keywords: Any,
) -> CheckReport:
    """List all that keeps a model from being compiled; where nothing does, run it.

    source : what `load` takes.
    data : what `load_data` takes; of its training samples the first are compared, beside random
        ones. reading : how they are read.
    options, keywords : as of `compile`: what trains, the loss, the board and its budget.

    The C is built for this computer and compared with the program that the file was made for: ONNX
    Runtime, LiteRT or PyTorch, where it is installed. Outputs that are further apart than rounding
    explains are an obstacle, too. Raises OdtError for data that cannot be read, and for options
    that mean nothing.
    """
    options = options or Options.of(**keywords)
    name = _name_of(source)
    try:
        model = load(source)
        compiled = compile(model, options)
    except OdtError as error:
        return CheckReport(name, obstacles_of(error, name))
    return compare(source, compiled, options, data, reading)


def compare(
    source: str | os.PathLike | ExportedProgram,
    compiled: CompiledModel,
    options: Options,
    data: Source | None = None,
    reading: Reading | None = None,
) -> CheckReport:
    """What `compiled` gives beside the reference of the file `source`, which it was made from.

    With another head than the file's, a fresh one or one as float32, the network is compiled once
    more as it is.
    """
    name = _name_of(source)
    try:
        reference = reference_of(source)
    except ImportError as error:
        return CheckReport(name, notes=(f"not compared: {one_line(error)}",))
    except OdtError as error:
        return CheckReport(name, obstacles_of(error, name))
    if options.classes is not None or compiled.report["head"] == AS_FLOAT:
        try:
            compiled = compile(source, _with_own_head(source, options))
        except OdtError as error:  # of its own output, which nothing asked to train
            return CheckReport(name, notes=(f"not compared: {error}",))
    found = agreements(compiled, reference, options.loss, data, reading)
    apart = [agreement for agreement in found if not agreement.within_rounding]
    obstacles = tuple(_disagreement(name, reference.name, agreement) for agreement in apart)
    return CheckReport(name, obstacles, reference.name, found)


def _with_own_head(source: Any, options: Options) -> Options:
    own = Options(head="int8" if int8_head(load(source)) else "auto", board="host", tuning="none")
    return replace(own, loss=LOSSES.get(options.loss.name, options.loss))


def obstacles_of(error: OdtError, name: str) -> tuple[Obstacle, ...]:
    """Those that an error tells of; `name` is the file's."""
    if isinstance(error, ModelError):
        return error.obstacles
    where, _, found = str(error).partition(": ")
    return (Obstacle(where, found) if found else Obstacle(name, where),)


def _name_of(source: Any) -> str:
    return "model" if hasattr(source, "graph_signature") else Path(source).name


def _disagreement(name: str, reference: str, agreement: Agreement) -> Obstacle:
    return Obstacle(
        name,
        f"the C computes something else than {reference} ({agreement}; "
        f"rounding explains {agreement.bound:.3g})",
        "please report this model: nothing that is accepted may differ",
    )
