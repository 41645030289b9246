"""From steps to all that the C of a model is made from: offsets, slots, constants."""

from __future__ import annotations

import numpy as np
import tvm

from relay_passes.optimizers import BatchTensors, Inputs, batch_tensors, inputs_of

from .codegen.planned_model import PlannedModel, merge_constants, parameter_slots
from .codegen.planned_step import plan_step
from .losses import classes_of
from .model import Model
from .options import Options
from .scheme.sliced_model import SlicedModel
from .steps import Steps


def planned_model(sliced: SlicedModel, steps: Steps, options: Options, output: str) -> PlannedModel:
    """The model's steps in one arena, with what they read and keep.

    output : what a prediction is, in words.
    """
    model = sliced.model
    trained = {name: v for name, v in model.parameters.items() if name in sliced.slices}
    changing = {*trained, *model.of_classes}
    inputs = inputs_of(options.optimizer, trained, model.parameters)
    kept = _batch_tensors(model, trained, options)
    slots = parameter_slots(
        {
            "parameter": trained,
            "class": model.of_classes,
            **_of_optimizer(inputs, model),
            **({} if kept is None else _of_batches(kept, options)),
        }
    )
    present = {name: step for name, step in vars(steps).items() if step is not None}
    taken = {*model.parameters, *(slot.name for slot in slots)}
    merged, constants = merge_constants(*present.values(), taken=taken)
    kind = options.loss.kind_of(model.output_shape)
    return PlannedModel(
        name=model.name,
        graph=tvm.ir.save_json(tvm.IRModule({"main": model.module["main"]})),
        **dict(zip(present, map(plan_step, merged), strict=True)),
        frozen={name: v for name, v in model.parameters.items() if name not in changing},
        slots=slots,
        constants=constants,
        input=model.input,
        layout=model.input_layout,
        output_shape=model.output_shape,
        target=next(t for task in steps.train.tasks for t in task.inputs if t.role == "target"),
        optimizer=options.optimizer,
        inputs=inputs,
        target_kind=kind,
        ignored=options.loss.ignored,
        classes=classes_of(kind, model.output_shape),
        output=output,
        kept=kept,
        head=model.head,
        replay=options.kept,
    )


def _of_optimizer(inputs: Inputs, model: Model) -> dict[str, dict[str, np.ndarray]]:
    """What the optimizer keeps in ``odt_params_t``: kind -> name -> start."""
    starts = inputs.starts
    states = {name: np.full((), starts[name], np.float32) for name in inputs.scalars.values()}
    for parameter in inputs.states:
        for kept in inputs.kept(parameter, model.parameters[parameter].shape).values():
            for tensor in kept:
                states[tensor.name] = np.full(tensor.shape, starts[tensor.name], tensor.dtype)
    hyper = {name: np.full(1, starts[name], np.float32) for name in inputs.hyper.values()}
    return {"state": states, "hyperparameter": hyper}


def _batch_tensors(model: Model, trained: dict, options: Options) -> BatchTensors | None:
    """What is summed of a batch; None where every sample updates what trains."""
    if options.batches is None:
        return None
    types = {name: (value.shape, str(value.dtype)) for name, value in model.parameters.items()}
    return batch_tensors(options.batches, trained, types)


def _of_batches(kept: BatchTensors, options: Options) -> dict[str, dict[str, np.ndarray]]:
    """What lies in ``odt_params_t`` of a batch: kind -> name -> start."""
    sums = {one.name: np.zeros(one.shape, one.dtype) for one in kept.sums.values()}
    peaks = {
        one.peaks: np.zeros(one.shape[:1], np.float32)
        for one in kept.sums.values()
        if one.peaks is not None
    }
    return {
        "accumulator": sums | peaks,
        "accumulated": {kept.count: np.zeros(1, np.uint32)},
        "batch": {kept.size: np.full(1, options.batch, np.uint32)},
    }
