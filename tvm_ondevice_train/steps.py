"""What the device does with a sample or a batch, as kernel calls, before memory is planned."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from relay_passes.backward.accumulation import Accumulate, ApplyMean
from relay_passes.backward.sparse_backward import AnyOptimizer
from relay_passes.memory.step import Step
from relay_passes.optimizers import SGD, Accumulation
from relay_passes.schedule.default_schedule import Chooser
from relay_passes.within_memory import AUTO, ROUNDS, Lowering

from .dump_ir import IRDump
from .fresh_head import imprint_module
from .losses import Loss
from .model import Model
from .options import Options
from .scheme.sliced_model import SlicedModel
from .training_graph import loss_module

_ROUNDS = {"memory": ROUNDS, "speed": 1}  # of scheduling, by preference


@dataclass(frozen=True)
class Steps:
    """The steps of one model.

    update : of batches, where `train` only accumulates; None where `train` updates what trains.
    imprint : makes a sample part of its class's row; None without a cosine head.
    """

    train: Step
    evaluate: Step
    update: Step | None
    imprint: Step | None


def steps_of(sliced: SlicedModel, options: Options, chooser: Chooser | None) -> Steps:
    """Every step that `options` ask for, of a model that is sliced where it trains in part.

    chooser : see `Lowering`.
    """
    batches = options.batches
    train, evaluate = build_steps(
        sliced.model,
        sliced.slices,
        options.loss,
        optimizer=Accumulate(batches) if batches else options.optimizer,
        backward=options.backward,
        rollback=options.rollback,
        dump_ir=options.dump_ir,
        chooser=chooser,
        rounds=_ROUNDS[options.prefer],
        split=options.splits,
    )
    update = _update(sliced, batches, options) if batches else None
    head = sliced.model.head
    imprints = head is not None and head.counts is not None
    imprint = _imprint(sliced.model, train, options, chooser) if imprints else None
    return Steps(train, evaluate, update, imprint)


def build_steps(
    model: Model,
    trained: Collection[str],
    loss: str | Loss,
    fuse: bool = True,
    optimizer: AnyOptimizer = SGD(),  # noqa: B008 - a frozen value
    backward: str = AUTO,
    rollback: bool = False,
    dump_ir: str | os.PathLike | None = None,
    chooser: Chooser | None = None,
    rounds: int = ROUNDS,
    split: bool = False,
) -> tuple[Step, Step]:
    """The training step and the evaluation.

    trained : names of the parameters that train, in whole (see `slice_model`).
    fuse, chooser, rounds : see `Lowering`.
    split : whether what needs nothing that changes runs first (see `Step.prefix`).
    """
    changing = {*trained, *model.of_classes}
    lowering = Lowering(fuse, chooser, rounds, _dump(dump_ir), changing if split else None)
    train = lowering.training(loss_module(model, loss), trained, backward, rollback, optimizer)
    evaluation = loss_module(model, loss, with_output=True)
    return train, lowering.evaluation(evaluation, free_bytes=train.peak_bytes or 0)


def _update(sliced: SlicedModel, batches: Accumulation, options: Options) -> Step:
    """The update of a batch, where the training step accumulates."""
    lowering = Lowering(dump=_dump(options.dump_ir))
    loss = loss_module(sliced.model, options.loss)
    ending = ApplyMean(batches)
    return lowering.training(loss, sliced.slices, "float32", options.rollback, ending)


def _imprint(model: Model, train: Step, options: Options, chooser: Chooser | None) -> Step:
    """The step that makes a sample part of its class's row, in an arena as large as `train`'s."""
    lowering = Lowering(True, chooser, _ROUNDS[options.prefer], _dump(options.dump_ir))
    return lowering.evaluation(imprint_module(model), train.peak_bytes or 0, part="imprinting")


def _dump(directory: str | os.PathLike | None) -> IRDump | None:
    return None if directory is None else IRDump(directory)
