"""From a model to the C of its training step: the front door, read from top to bottom."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from relay_passes import SparseBackward, lowering

from .boards import DEFAULT_BOARD, Board
from .boards import board as find_board
from .codegen.layout import merge_constants, parameter_slots, plan_program
from .codegen.model_c import Source, generate
from .codegen.program import Program, extract
from .errors import OdtError
from .frontend import load
from .model import Model
from .project import generate_project
from .report import check_budget, make_report
from .scheme import UpdateScheme, resolve
from .training_graph import loss_module, replace_head

STEP_ROLES = ("input", "target", "learning_rate", "seed")


@dataclass(frozen=True)
class CompiledModel:
    """The C of one training step: ``files`` (name -> text), ``report`` and what they come from."""

    files: dict[str, str]
    report: dict
    source: Source
    board: Board

    def save(self, directory, platform: str | None = None) -> Path:
        """Write the project into `directory`, all of it or nothing, and return its path.

        platform: "baremetal" or "host"; by default what the board is.
        """
        platform = platform or ("host" if self.board.is_host else "baremetal")
        return generate_project(
            self.files,
            self.report,
            self.board,
            platform,
            directory,
            stack_bytes=self.report["stack_bytes"],
        )


def compile(
    model: Model | str | os.PathLike,
    *,
    classes: int | None = None,
    scheme: str | os.PathLike | UpdateScheme = "head",
    loss: str = "cross_entropy",
    learning_rate: float = 0.01,
    board: str = DEFAULT_BOARD,
    sram_bytes: int | None = None,
    flash_bytes: int | None = None,
    seed: int = 0,
) -> CompiledModel:
    """Compile a training step and a prediction for one sample.

    Parameters
    ----------
    model : what `load` takes (.onnx, .tflite, .pt2) or gave.
    classes : outputs of a fresh float32 head in the classifier's place; None keeps the model's own.
    scheme : what trains: "full", "head", "last:K", "bias:K", a scheme file, or an `UpdateScheme`.
    loss : "cross_entropy" (integer labels) or "mse" (values).
    learning_rate : initial step size; it can be changed on the device.
    board, sram_bytes, flash_bytes : the part, and another budget than the part has.
    seed : of the fresh head's weights.

    Raises OdtError, in one line, for anything that cannot be compiled or does not fit.
    """
    target = find_board(board, sram_bytes, flash_bytes)
    if not (math.isfinite(learning_rate) and learning_rate >= 0):
        raise OdtError(f"learning_rate is {learning_rate}; it must be 0 or more, and finite")
    model = model if isinstance(model, Model) else load(model)
    if classes is not None:
        model = replace_head(model, classes, seed)
    chosen = resolve(scheme, model.layers)
    train, predict = build_programs(model, chosen, loss)
    source = _source(model, chosen, train, predict, loss, learning_rate)
    spec = scheme if isinstance(scheme, str) else "custom"
    report = make_report(model, spec, source, target, loss, classes)
    check_budget(report, source, target)
    return CompiledModel(generate(source), report, source, target)


def build_programs(
    model: Model, scheme: UpdateScheme, loss: str, fuse: bool = True
) -> tuple[Program, Program]:
    """The training step and the prediction as kernel calls, before memory is planned."""
    step = lowering(fuse)(SparseBackward(scheme)(loss_module(model, loss)))
    forward = lowering(fuse)(model.module)
    return extract(step, STEP_ROLES), extract(forward, STEP_ROLES[:1])


def _source(model, scheme, train, predict, loss, learning_rate) -> Source:
    (train, predict), constants = merge_constants(train, predict, taken=model.parameters)
    trained = [name for name in model.parameters if name in set(scheme.trained)]
    frozen = {name: v for name, v in model.parameters.items() if name not in trained}
    target = next(t for op in train.ops for t in op.inputs if t.role == "target")
    labels = loss == "cross_entropy"
    return Source(
        name=model.name,
        train=plan_program(train),
        predict=plan_program(predict),
        frozen=frozen,
        slots=parameter_slots(model.parameters, trained),
        constants=constants,
        input_shape=model.input.shape,
        input_dtype=model.input.dtype,
        output_shape=model.output_shape,
        target=target,
        learning_rate=learning_rate,
        classes=model.output_shape[-1] if labels else None,
    )
