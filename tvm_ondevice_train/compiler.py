"""From a model to the C of its training step: the front door, read from top to bottom."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from relay_passes.layer_words import rates_of

from .boards import Board
from .boards import board as find_board
from .codegen.model_c import generate
from .codegen.planned_model import PlannedModel
from .device.firmware_size import linked_flash_bytes, object_flash_bytes
from .errors import BudgetError, OdtError
from .export.onnx_writer import onnx_or_reason
from .float_head import AS_FLOAT, TOO_LARGE, ModelWithHead, model_with_head
from .fresh_head import check_imprintable, replace_head
from .frontend import load
from .losses import LABEL
from .manifest import MadeFrom, Manifest
from .manifest.making import make_manifest
from .model import Model
from .options import Options
from .planning import planned_model
from .project import generate_project
from .report import check_budget, make_report, with_zephyr
from .scheme.left_out import left_out
from .scheme.sliced_model import slice_model
from .scheme.update_scheme import UpdateScheme, errors_naming, resolve
from .steps import steps_of
from .trainable import check_operators
from .training_graph import OUTPUT, before_loss, logits
from .tuning import tuning_for


@dataclass(frozen=True)
class CompiledModel:
    """The C of one training step: ``files`` (name -> text) and what they come from.

    ``report`` is the account of memory and work; its flash is that of the constants, to which
    `save` adds the code in the project's report.json. ``manifest`` is what host and device agree
    on. ``initial`` holds the parameters that train, whole and as the model had them; ``model`` is
    the one that they train in, with its new head where one was asked for. ``given`` is the model
    before that, ``options`` what it was compiled for.
    """

    files: dict[str, str]
    report: dict
    manifest: Manifest
    planned: PlannedModel
    board: Board
    initial: Mapping[str, np.ndarray]
    model: Model
    given: Model
    options: Options

    @property
    def source(self) -> PlannedModel:
        """`planned`, by the name that it had first."""
        return self.planned

    def save(
        self,
        directory: str | os.PathLike,
        platform: str | None = None,
        transport: str | None = None,
        force: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> Path:
        """Write the project into `directory`, all of it or nothing, and return its path.

        platform: "host", "baremetal" or "zephyr"; by default the board's own.
        transport: of a bare-metal image, "semihosting" or "uart"; by default the board's first.
        force: replace also generated files that were edited, and files where one must go.
        say: called with a line for whoever reads along, such as which files those were.

        Of an earlier project there only what was generated is replaced: files of one's own, and
        what was learned, stay.

        A bare-metal project is built on the way where there is a compiler for its board; one that
        is too large for the board's flash is refused, and so is an application that Zephyr's own
        memory of the board does not hold.
        """
        platform = platform or self.board.platforms[0]
        exported, reason = onnx_or_reason(self.model)
        report = self._on_zephyr() if platform == "zephyr" else self.report

        def link(project: Path) -> dict:
            bare = platform == "baremetal"
            return _with_code(lambda: linked_flash_bytes(project, self.board)) if bare else {}

        return generate_project(
            self.files,
            replace(self.manifest, not_in_onnx=reason),
            self.board,
            platform,
            directory,
            report=report,
            initial=self.initial,
            transport=transport,
            exported=exported,
            build=link,
            force=force,
            say=say,
        )

    def _on_zephyr(self) -> dict:
        """The report with the code, and with Zephyr; OdtError if that does not fit the board."""
        objects = _with_code(lambda: object_flash_bytes(self.files, self.board))
        report = with_zephyr({**self.report, **objects}, self.board)
        check_budget(report, self.planned)
        return report


def _with_code(measure: Callable[[], int | None]) -> dict:
    """What of a report changes by what the compiler says: the flash, or why it does not compile."""
    try:
        flash_bytes = measure()
    except BudgetError:
        raise
    except OdtError as error:
        return {"not_built": str(error)}
    return {} if flash_bytes is None else {"flash_bytes": flash_bytes, "flash_holds_code": True}


def compile(
    model: Model | str | os.PathLike, options: Options | None = None, **keywords: Any
) -> CompiledModel:
    """Compile a training step, an evaluation and a prediction for one sample.

    Parameters
    ----------
    model : what `load` takes (.onnx, .tflite, .pt2) or gave.
    options : see `Options`.
    keywords : instead of `options`, each of them by its name, with plain values (see `Options.of`):
        ``compile("net.onnx", classes=4, scheme="bias:3", optimizer="momentum", momentum=0.9)``.

    Raises OdtError, in one line, for anything that cannot be compiled or does not fit.
    """
    if options is None:
        options = Options.of(**keywords)
    elif keywords:
        raise TypeError("compile() takes options, or keywords, not both")
    target = find_board(options.board, options.sram_bytes, options.flash_bytes)
    made_from = _made_from(model, options) if isinstance(model, (str, os.PathLike)) else None
    given = model if isinstance(model, Model) else load(model)
    model = given if options.classes is None else replace_head(given, options)
    resolved = resolve(options.scheme, model.layers)
    options = _with_rates_by_name(options, model, resolved)
    own = model_with_head(model, resolved.trained, options, target)
    try:
        return _compiled(given, own, resolved, target, options, made_from)
    except BudgetError:
        if own.head != AS_FLOAT or options.head != "auto":
            raise
    own = replace(own, model=model, head=TOO_LARGE)
    return _compiled(given, own, resolved, target, options, made_from)


def _with_rates_by_name(options: Options, model: Model, scheme: UpdateScheme) -> Options:
    """`options` whose `Optimizer.lr_scale` names parameters; OdtError for what names none."""
    try:
        rates = rates_of(options.optimizer.lr_scale, model.layers, scheme.trained)
    except ValueError as error:
        raise OdtError(str(error)) from None
    return replace(options, optimizer=replace(options.optimizer, lr_scale=rates))


def _compiled(
    given: Model,
    own: ModelWithHead,
    resolved: UpdateScheme,
    target: Board,
    options: Options,
    made_from: MadeFrom | None,
) -> CompiledModel:
    """The model with one form of its head; BudgetError where that does not fit `target`."""
    model, tuned = own.model, tuning_for(options.tuning, target)
    check_operators(model, resolved.trained)
    if options.kept is not None:
        options.kept.check_classes(_classes(model, options))
    with errors_naming(options.scheme):
        sliced = slice_model(before_loss(model, options.loss), resolved)
        check_imprintable(sliced.source, sliced.model, sliced.slices)
    output = logits(options.loss) if sliced.source is not model else OUTPUT
    steps = steps_of(sliced, options, tuned.chooser)
    planned = planned_model(sliced, steps, options, output)
    manifest = make_manifest(sliced, planned, target, options, made_from)
    report = {
        **make_report(manifest, planned, target, options),
        "head": own.head,
        "not_trained": left_out(given, model, options.scheme, resolved.trained),
    }
    check_budget(report, planned)
    tuned.check()
    initial = {name: model.parameters[name] for name in sliced.slices}
    initial |= {slot.name: slot.value for slot in planned.slots if slot.kind == "class"}
    files = generate(planned, options.prefix)
    return CompiledModel(files, report, manifest, planned, target, initial, model, given, options)


def _classes(model: Model, options: Options) -> int | None:
    """How many there are where a sample has one label."""
    shape = model.output_shape
    return shape[-1] if options.loss.kind_of(shape) == LABEL else None


def _made_from(model: str | os.PathLike, options: Options) -> MadeFrom | None:
    """What a project is made from again; None if that was not from files alone."""
    return None if options.to_json() is None else MadeFrom(os.fspath(model), options)
