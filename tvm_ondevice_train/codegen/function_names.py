"""Functions of the generated C, called by their layer and by what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from relay_passes.memory.step import Step, Task, Tensor

from .names import identifier, plain_identifier

_MAX_WORDS = 4
# what is done on the way: it names a function that does nothing else
_SILENT = {
    *("dequantize", "quantize", "encode", "decode", "astype", "broadcast_to"),
    *("masked", "masked_inward", "merge_channels", "take_channels", "permute_dims"),
    *("ones", "zeros"),
}
_CALLED = {
    "qconv2d": "conv2d",
    "qadd": "add",
    "qmean": "mean",
    "qavg_pool2d": "avg_pool2d",
    "conv2d_input_grad": "input_grad",
    "integer_input_grad": "input_grad",
    "conv2d_weight_grad": "weight_grad",
    "integer_weight_grad": "weight_grad",
    "collapse_sum_to": "sum",
}
_PARAMETERS = ("weight", "bias", "slope")


class Use(NamedTuple):
    """A call of a function: of which layer, what it does there, the shape that comes of it."""

    layer: str
    does: str
    shape: str


def uses_in(step: Step) -> list[Use]:
    """One for each task."""
    updated = {t: task.updates[0] for task in step.tasks if task.updates for t in task.inputs}
    return [
        Use(task.layer, _done_by(task, updated), "x".join(map(str, task.outputs[0].shape)))
        for task in step.tasks
    ]


def function_name(uses: Sequence[Use], taken: set[str]) -> str:
    """A C identifier for the function that is used so, not in `taken`, which it joins."""
    layers, done = {use.layer for use in uses}, {use.does for use in uses}
    updates = len(done) > 1 and all("update" in each for each in done)
    does = "update" if updates else uses[0].does
    name = does if len(layers) > 1 else f"{uses[0].layer}_{does}"
    name = f"layer_{name}" if name[0].isdigit() else name
    if plain_identifier(name) in taken:
        name += f"_{uses[0].shape}"
    return identifier(name, taken)


def _done_by(task: Task, updated: dict[Tensor, Tensor]) -> str:
    if task.updates:
        return f"{_parameter_word(task.updates[0])}_update"
    words, result = _words(task), task.outputs[0]
    if words == ["sum"] and result in updated:
        words = [f"{_parameter_word(updated[result])}_grad"]
    masks = ["and_mask"] if len(task.outputs) > 1 and task.outputs[-1].dtype == "bool" else []
    return "_".join([*words[:_MAX_WORDS], *masks])


def _words(task: Task) -> list[str]:
    operators = task.kernel.operators or (task.kind,)
    words: list[str] = []
    for name in [name for name in operators if name not in _SILENT] or operators:
        is_bias = name == "add" and words == ["conv2d"] and "bias" in task.kernel.operands
        words.append("bias" if is_bias else _CALLED.get(name, name))
        words += ["bias"] if name == "qconv2d" else []
    return list(dict.fromkeys(words))


def _parameter_word(parameter: Tensor) -> str:
    """What it is to its layer, as far as its name says so."""
    last = parameter.name.rsplit(".")[-1]
    return next((word for word in _PARAMETERS if word in last), "parameter")
