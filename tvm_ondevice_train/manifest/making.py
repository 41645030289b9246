"""The manifest of a model that was just compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..boards import Board
from ..codegen.planned_model import STACK_BYTES, ParameterSlot, PlannedModel
from ..options import Options
from ..scheme import UpdateScheme
from ..scheme.sliced_model import SlicedModel
from ..scheme.slices import Slice
from .value import Batches, MadeFrom, Manifest, StateTensor, Target, TrainedParameter


def make_manifest(
    sliced: SlicedModel,
    planned: PlannedModel,
    board: Board,
    options: Options,
    made_from: MadeFrom | None,
) -> Manifest:
    """What host and device will agree on; how the project runs is not known yet."""
    scheme, offsets = options.scheme, {slot.name: slot.offset for slot in planned.slots}
    return Manifest(
        model=planned.name,
        model_hash=planned.model_hash,
        scheme="custom" if isinstance(scheme, UpdateScheme) else Path(scheme).name,
        board=board.name,
        loss=options.loss.name,
        loss_parameters=options.loss.parameters,
        classes=planned.classes,
        input=sliced.model.input,
        output_shape=planned.output_shape,
        target=Target(planned.target_kind, planned.target.shape, planned.ignored),
        trained_parameters={slot.name: _trained(slot, sliced) for slot in planned.learned},
        stack_bytes=STACK_BYTES,
        optimizer=options.optimizer.name,
        optimizer_states=_tensors(planned, "state"),
        hyperparameters={name: offsets[one] for name, one in planned.inputs.hyper.items()},
        batches=None
        if planned.kept is None
        else Batches(
            offsets[planned.kept.size],
            offsets[planned.kept.count],
            _tensors(planned, "accumulator"),
        ),
        replay=planned.replay,
        made_from=made_from,
        active_classes=None if options.max_classes is None else options.classes,
        unused=None if planned.head is None else planned.head.unused,
        imprinted=None if planned.head is None else planned.head.counts,
        input_layout=planned.layout,
    )


def _tensors(planned: PlannedModel, kind: str) -> dict[str, StateTensor]:
    """What is kept beside what trains, of one kind of slots."""
    slots = [slot for slot in planned.slots if slot.kind == kind]
    return {
        slot.name: StateTensor(slot.value.shape, slot.offset, str(slot.value.dtype))
        for slot in slots
    }


def _trained(slot: ParameterSlot, sliced: SlicedModel) -> TrainedParameter:
    held = sliced.slices.get(slot.name, Slice(slot.value.shape))
    scale = sliced.source.scales.get(slot.name)
    if scale is not None:
        scale = np.atleast_1d(scale)
        if scale.size > 1 and held.rows is not None:
            scale = scale[held.rows]
    return TrainedParameter(
        shape=slot.value.shape,
        dtype=str(slot.value.dtype),
        offset=slot.offset,
        scale=_plain(scale),
        whole_shape=held.shape,
        rows=_plain(held.rows),
        columns=_plain(held.columns),
    )


def _plain(array: np.ndarray | None) -> tuple | None:
    return None if array is None else tuple(array.tolist())
