"""From a model to the C of its training step: the front door, read from top to bottom."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tvm

from relay_passes.memory.step import Step
from relay_passes.ops.precision import FORMATS
from relay_passes.within_memory import AUTO, ROUNDS, Lowering

from .boards import DEFAULT_BOARD, Board
from .boards import board as find_board
from .codegen.model_c import generate
from .codegen.planned_model import PlannedModel, merge_constants, parameter_slots
from .codegen.planned_step import plan_step
from .device.firmware_size import linked_flash_bytes, object_flash_bytes
from .dump_ir import IRDump
from .errors import OdtError
from .export.onnx_writer import onnx_or_reason
from .frontend import load
from .manifest import MadeFrom, Manifest
from .manifest.making import make_manifest
from .model import Model
from .project import generate_project
from .report import check_budget, make_report
from .scheme.sliced_model import slice_model
from .scheme.update_scheme import UpdateScheme, errors_naming, resolve
from .trainable import check_operators
from .training_graph import loss_module, replace_head
from .tune.tuning import Tuning, tuning_for

PREFERENCES = {"memory": ROUNDS, "speed": 1}
BACKWARDS = (AUTO, "float32", "int16", *FORMATS)


@dataclass(frozen=True)
class CompiledModel:
    """The C of one training step: ``files`` (name -> text) and what they come from.

    ``report`` is the account of memory and work; its flash is that of the constants, to which
    `save` adds the code in the project's report.json. ``manifest`` is what host and device agree
    on. ``initial`` holds the parameters that train, whole and as the model had them; ``model`` is
    the one that they train in, with its new head where one was asked for.
    """

    files: dict[str, str]
    report: dict
    manifest: Manifest
    planned: PlannedModel
    board: Board
    initial: Mapping[str, np.ndarray]
    model: Model

    @property
    def source(self) -> PlannedModel:
        """`planned`, by the name that it had first."""
        return self.planned

    def save(self, directory, platform: str | None = None, transport: str | None = None) -> Path:
        """Write the project into `directory`, all of it or nothing, and return its path.

        platform: "host", "baremetal" or "zephyr"; by default the board's own.
        transport: of a bare-metal image, "semihosting" or "uart"; by default the board's first.

        A bare-metal project is built on the way where there is a compiler for its board; one that
        is too large for the board's flash is refused.
        """
        platform = platform or self.board.platforms[0]
        exported, reason = onnx_or_reason(self.model)
        objects = object_flash_bytes(self.files, self.board) if platform == "zephyr" else None

        def link(project: Path) -> dict:
            bare = platform == "baremetal"
            return _with_code(linked_flash_bytes(project, self.board) if bare else None)

        return generate_project(
            self.files,
            replace(self.manifest, not_in_onnx=reason),
            self.board,
            platform,
            directory,
            report={**self.report, **_with_code(objects)},
            initial=self.initial,
            transport=transport,
            exported=exported,
            build=link,
        )


def _with_code(flash_bytes: int | None) -> dict:
    """What of a report changes where the compiler found `flash_bytes`."""
    return {} if flash_bytes is None else {"flash_bytes": flash_bytes, "flash_holds_code": True}


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
    backward: str = AUTO,
    prefer: str = "memory",
    rollback: bool = True,
    tuning: str | os.PathLike | Mapping | Tuning | None = None,
    dump_ir: str | os.PathLike | None = None,
) -> CompiledModel:
    """Compile a training step, an evaluation and a prediction for one sample.

    Parameters
    ----------
    model : what `load` takes (.onnx, .tflite, .pt2) or gave.
    classes : outputs of a fresh float32 head in the classifier's place; None keeps the model's own.
    scheme : what trains: "full", "head", "last:K", "bias:K", a scheme file, or an `UpdateScheme`,
        which may name some of a weight's input channels.
    loss : "cross_entropy" (integer labels) or "mse" (values).
    learning_rate : initial step size; it can be changed on the device.
    board, sram_bytes, flash_bytes : the part, and another budget than the part has.
    seed : of the fresh head's weights.
    backward : "float32"; "int16", gradients of 1x1 and depthwise int8 layers in integers;
        "bfloat16" and "float8", that and adjoints stored between kernels in 16 or 8 bits; "auto",
        int16, or where memory is preferred and int16 takes more of it, float32.
    prefer : "memory", where no scratch of a kernel may raise the arena's peak; "speed", where every
        kernel has what its microkernels want.
    rollback : keep what a step writes over until it ends, so that one whose loss or gradient is
        not finite changes nothing; mostly this is memory that the forward needs anyway.
    tuning : the file that `ondevice-train tune` wrote, or its content; None is the package's own
        for the board's CPU, if there is one, and "none" leaves every schedule at its default.
    dump_ir : a directory for the module after each pass, as TVMScript.

    Raises OdtError, in one line, for anything that cannot be compiled or does not fit.
    """
    target = find_board(board, sram_bytes, flash_bytes)
    if not (math.isfinite(learning_rate) and learning_rate >= 0):
        raise OdtError(f"learning_rate is {learning_rate}; it must be 0 or more, and finite")
    if backward not in BACKWARDS:
        raise OdtError(f'backward is "{backward}"; allowed are {", ".join(BACKWARDS)}')
    if prefer not in PREFERENCES:
        raise OdtError(f'prefer is "{prefer}"; allowed are {", ".join(PREFERENCES)}')
    tuned = tuning_for(tuning, target)
    made_from = {
        "model": model,
        "classes": classes,
        "scheme": scheme,
        "loss": loss,
        "learning_rate": learning_rate,
        "sram_bytes": sram_bytes,
        "flash_bytes": flash_bytes,
        "backward": backward,
        "prefer": prefer,
        "rollback": rollback,
    }
    model = model if isinstance(model, Model) else load(model)
    if classes is not None:
        model = replace_head(model, classes, seed)
    resolved = resolve(scheme, model.layers)
    check_operators(model, resolved.trained)
    with errors_naming(scheme):
        sliced = slice_model(model, resolved)
    train, evaluate = build_steps(
        sliced.model,
        sliced.slices,
        loss,
        backward=backward,
        rollback=rollback,
        dump_ir=dump_ir,
        chooser=tuned.chooser,
        rounds=PREFERENCES[prefer],
    )
    tuned.check()
    planned = _plan(sliced, train, evaluate, loss, learning_rate)
    spec = "custom" if isinstance(scheme, UpdateScheme) else Path(scheme).name
    used = train.backward if backward == AUTO else backward
    made_from = _made_from(**made_from)
    manifest = make_manifest(sliced, spec, planned, target, loss, made_from)
    report = make_report(manifest, planned, target, used, new_head=classes is not None)
    check_budget(report, planned, target)
    initial = {name: model.parameters[name] for name in sliced.slices}
    return CompiledModel(generate(planned), report, manifest, planned, target, initial, model)


def _made_from(model, scheme, **options) -> MadeFrom | None:
    """What `tune` needs to make a project again; None if that was not from files alone."""
    if isinstance(model, Model) or isinstance(scheme, UpdateScheme):
        return None
    return MadeFrom(os.fspath(model), os.fspath(scheme), **options)


def build_steps(
    model: Model,
    trained: Collection[str],
    loss: str,
    fuse: bool = True,
    backward: str = AUTO,
    rollback: bool = False,
    dump_ir: str | os.PathLike | None = None,
    chooser=None,
    rounds: int = ROUNDS,
) -> tuple[Step, Step]:
    """The training step and the evaluation as kernel calls, before memory is planned.

    trained : names of the parameters that train, in whole (see `slice_model`).
    fuse, chooser, rounds : see `Lowering`.
    """
    dump = None if dump_ir is None else IRDump(dump_ir)
    lowering = Lowering(fuse, chooser, rounds, dump)
    train = lowering.training(loss_module(model, loss), trained, backward, rollback)
    evaluation = loss_module(model, loss, with_output=True)
    return train, lowering.evaluation(evaluation, free_bytes=train.peak_bytes or 0)


def _plan(sliced, train: Step, evaluate: Step, loss, learning_rate) -> PlannedModel:
    model = sliced.model
    (train, evaluate), constants = merge_constants(train, evaluate, taken=model.parameters)
    trained = [name for name in model.parameters if name in sliced.slices]
    frozen = {name: v for name, v in model.parameters.items() if name not in trained}
    target = next(t for task in train.tasks for t in task.inputs if t.role == "target")
    labels = loss == "cross_entropy"
    return PlannedModel(
        name=model.name,
        graph=tvm.ir.save_json(model.module),
        train=plan_step(train),
        evaluate=plan_step(evaluate),
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
