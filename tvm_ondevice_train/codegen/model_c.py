"""model.h, model.c and model_data.h from planned steps: C99, no malloc, no TVM."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np

from relay_passes.graph import ALIGN
from relay_passes.memory.step import Task, Tensor, prediction
from relay_passes.optimizers import MOST_SAMPLES

from ..files.plain_text import plain, shortened
from ..files.render import render
from ..replay import POLICIES
from .c_expressions import C_TYPES
from .c_lines import WIDTH, fitted
from .c_printer import HEADERS, CKernel
from .c_text import float_literal
from .features import features_in
from .function_names import Use, function_name, uses_in
from .names import identifier
from .planned_model import STACK_BYTES, ParameterSlot, PlannedModel
from .planned_step import PlannedStep
from .prefix import with_prefix

_MARGIN = 3  # what stands before a line of the map
_NAME_WIDTH = 80  # of a model, or of a task in the comment before its call


def generate(model: PlannedModel, prefix: str | None = None) -> dict[str, str]:
    """File name -> text. The same model gives the same bytes.

    prefix : see `with_prefix`; None for the names of a program with one model.
    """
    generator = _Generator(model)
    files = generator.files()
    if prefix is None:
        return files
    return with_prefix(files, prefix, {*generator.taken, *generator.fields.values()})


class _Generator:
    def __init__(self, model: PlannedModel):
        self.model = replace(model, name=plain(shortened(model.name, _NAME_WIDTH)))
        self.taken: set[str] = set()  # names at file scope
        self.arrays = {
            name: identifier(name, self.taken) for name in (*model.frozen, *model.constants)
        }
        self.fields = {slot.name: slot.field for slot in model.slots}
        self.functions = self._functions()  # text of a kernel -> its C name, what defines it

    def files(self) -> dict[str, str]:
        model = self.model
        output, loss = model.evaluate.step.results
        evaluation = self._calls(model.evaluate)
        forward = len(prediction(model.evaluate.step).tasks)
        training = self._updating_calls(model.train)
        updating = min(index for index, _ in model.train.step.updates)
        calls = {
            "loss_first_calls": training[:updating],
            "update_calls": training[updating:],
            "batch_calls": self._updating_calls(model.update) if model.update else [],
            "forward_calls": evaluation[:forward],
            "loss_calls": evaluation[forward:],
        }
        data = self._data()
        facts = {
            "model": model,
            "model_hash": f"0x{model.model_hash:08x}u",
            "arena_align": ALIGN,
            "input": model.input,
            "layout": model.layout,
            "input_scale": _literal_or_none(model.input.scale),
            "stack_bytes": STACK_BYTES,
            "input_ctype": C_TYPES[model.input.dtype],
            "target_ctype": C_TYPES[model.target.dtype],
            "input_elements": int(np.prod(model.input.shape)),
            "output_elements": int(np.prod(model.output_shape)),
            "target_elements": int(np.prod(model.target.shape)),
            "slots": [_slot(slot) for slot in model.slots],
            "biases": [slot for slot in model.trained if slot.value.dtype == np.int32],
            "learning_rate": float_literal(model.optimizer.learning_rate),
            "setters": self._setters(),
            "arena_maps": [
                (title, arena_map(planned)) for title, planned in model.activities.items()
            ],
            "headers": ["odt_check.h", *HEADERS],
            "kernels": [definition for _, definition in self.functions.values()],
            "train_input": model.train.input_offset,
            "evaluate_input": model.evaluate.input_offset,
            "train_loss": model.train.offset(model.train.step.results[0]),
            "evaluate_loss": model.evaluate.offset(loss),
            "output_offset": model.evaluate.offset(output),
            "backups": self._backups(model.train),
            "batch_backups": self._backups(model.update) if model.update else [],
            "seeded": _is_seeded(model.train),
            "batch_seeded": model.update is not None and _is_seeded(model.update),
            "accumulators": [slot for slot in model.slots if slot.kind == "accumulator"],
            "accumulated": self.fields[model.kept.count] if model.kept else None,
            "most_samples": MOST_SAMPLES,
            "batch": self.fields[model.kept.size] if model.kept else None,
            "rollback": model.train.step.rollback,
            **self._classes(),
            "replay_policy": model.replay and POLICIES.index(model.replay.policy),
            "train_features": features_in(model.train),
            "evaluate_features": features_in(model.evaluate),
            **calls,
        }
        return {
            "model.h": fitted(render(__package__, "model.h", facts)),
            "model.c": fitted(render(__package__, "model.c", facts)),
            "model_data.h": fitted(data),
        }

    def _classes(self) -> dict:
        """How the classes of a fresh head are added and imprinted, where they can be."""
        head, imprint = self.model.head, self.model.imprint
        unused = None if head is None or head.unused is None else self.fields[head.unused]
        facts = {"unused": unused, "imprint": imprint is not None}
        if imprint is None:
            return facts
        calls = self._calls(imprint)
        updating = min(index for index, _ in imprint.step.updates)
        features = imprint.step.results[0]
        return {
            **facts,
            "imprint_input": imprint.input_offset,
            "feature_calls": calls[:updating],
            "imprint_calls": calls[updating:],
            "features_offset": imprint.offset(features),
            "features_elements": int(np.prod(features.shape)),
        }

    def _setters(self) -> list[dict]:
        """What a device can be told of the optimizer besides the learning rate."""
        optimizer, inputs = self.model.optimizer, self.model.inputs
        return [
            {
                "name": one.name,
                "field": self.fields[inputs.hyper[one.name]],
                "below": None if one.below == math.inf else float_literal(one.below),
                "positive": one.positive,
            }
            for one in optimizer.described()
            if one.name in inputs.hyper
        ]

    # -- kernels and their calls ----------------------------------------------------------------

    def _functions(self) -> dict[str, tuple[str, str]]:
        uses: dict[str, list[Use]] = defaultdict(list)  # by the text of their kernel
        printed: dict[str, CKernel] = {}
        model = self.model
        for planned in (model.evaluate, model.update, model.train, model.imprint):
            if planned is None:
                continue
            for task, use in zip(planned.step.tasks, uses_in(planned.step), strict=True):
                kernel = planned.kernels[task.kernel]
                uses[kernel.text].append(use)
                printed.setdefault(kernel.text, kernel)
        functions = {}
        for text, found in uses.items():  # equal text is one function
            name = function_name(found, self.taken)
            functions[text] = name, printed[text].definition(name)
        return functions

    def _calls(self, planned: PlannedStep) -> list[str]:
        return [self._call(planned, index, task) for index, task in enumerate(planned.step.tasks)]

    def _updating_calls(self, planned: PlannedStep) -> list[str]:
        """Calls of a step, each update behind the backup of what it writes over."""
        calls = self._calls(planned)
        for index, tensor, offset in planned.backups:
            field = f"odt->params.{self.fields[tensor.name]}"
            backup = f"memcpy(arena + {offset}, {field}, sizeof {field});"
            calls[index] = f"{backup}\n  {calls[index]}"
        return calls

    def _backups(self, planned: PlannedStep) -> list[tuple[str, int]]:
        """The fields that a step can put back, and where in the arena their backups lie."""
        return [(self.fields[tensor.name], offset) for _, tensor, offset in planned.backups]

    def _call(self, planned: PlannedStep, index: int, task: Task) -> str:
        kernel = planned.kernels[task.kernel]
        arguments = [
            self._argument(planned, tensor, ctype)
            for tensor, (ctype, _) in zip(
                (*task.inputs, *task.outputs), kernel.parameters, strict=True
            )
        ]
        if task.kernel.workspace_bytes:
            arguments.append(f"arena + {planned.workspace_offset(index)}")
        if kernel.watches:
            arguments.append("&not_finite")
        call = f"{self.functions[kernel.text][0]}({', '.join(arguments)});"
        name = plain(shortened(task.name, _NAME_WIDTH))
        return f"/* op {index}, {name} */\n  {call}\n  ODT_YIELD();"

    def _argument(self, planned: PlannedStep, tensor: Tensor, ctype: str) -> str:
        if tensor.name in self.fields and tensor.role == "parameter":
            return f"odt->params.{self.fields[tensor.name]}"
        if tensor.role in ("parameter", "constant"):
            return self.arrays[tensor.name]
        if tensor.role == "target":
            return "target"
        if tensor.role == "learning_rate":
            return "&odt->learning_rate"
        if tensor.role == "seed":
            return "&seed"
        place = f"arena + {planned.offset(tensor)}"
        return place if ctype == "uint8_t" else f"(void *)({place})"

    # -- constant data --------------------------------------------------------------------------

    def _data(self) -> str:
        model = self.model
        used = {
            tensor.name
            for planned in model.steps
            for task in planned.step.tasks
            for tensor in task.inputs
        }
        arrays = [
            _array(self.arrays[name], value)
            for name, value in (*model.frozen.items(), *model.constants.items())
            if name in used
        ]
        initial = [_array(f"initial_{slot.field}", slot.value) for slot in model.learned]
        return render(__package__, "model_data.h", {"model": model, "arrays": arrays + initial})


def _literal_or_none(value: float | None) -> str | None:
    return None if value is None else float_literal(value)


def _is_seeded(planned: PlannedStep) -> bool:
    return any(t.role == "seed" for task in planned.step.tasks for t in task.inputs)


def _start(slot: ParameterSlot) -> str | None:
    """The number that all of a slot starts from; None for a parameter."""
    if slot.kind == "parameter":
        return None
    number = slot.value.flat[0]
    return float_literal(float(number)) if slot.value.dtype == np.float32 else str(int(number))


def _slot(slot: ParameterSlot) -> dict:
    return {
        "ctype": C_TYPES[str(slot.value.dtype)],
        "field": slot.field,
        "elements": slot.value.size,
        "name": plain(shortened(slot.name, _NAME_WIDTH)),
        "shape": "x".join(str(n) for n in slot.value.shape),
        "kind": slot.kind,
        "start": _start(slot),
    }


def _array(name: str, value: np.ndarray) -> str:
    flat = value.reshape(-1)
    if value.dtype == np.float32:
        items = [float_literal(float(v)) for v in flat]
    else:
        items = ["INT32_MIN" if v == -(2**31) else str(int(v)) for v in flat]
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) > 96:
            lines.append(line.rstrip())
            line = ""
        line += f"{item}, "
    lines.append(line.rstrip(", "))
    body = "\n  ".join(lines)
    return f"static const {C_TYPES[str(value.dtype)]} {name}[{flat.size}] = {{\n  {body}\n}};\n"


def arena_map(planned: PlannedStep) -> list[str]:
    """One line a tensor or scratch: offset, bytes, live range, shape, what writes it."""
    tasks = planned.step.tasks
    writers = {t.name: task.name for task in tasks for t in task.outputs}
    entries = [
        (
            *(first, planned.offsets[t.name], last, t.size_bytes),
            *(f"{t.name:<6} {t.dtype} {'x'.join(map(str, t.shape))}", writers.get(t.name, "")),
        )
        for t, (first, last) in planned.step.live.items()
    ]
    for index, task in enumerate(tasks):
        if task.kernel.workspace_bytes:
            place = (index, planned.workspace_offset(index), index, task.kernel.workspace_bytes)
            entries.append((*place, "scratch", task.name))
    for index, tensor, offset in planned.backups:
        entries.append((index, offset, len(tasks) - 1, tensor.size_bytes, tensor.backup_name, ""))
    return [line for entry in sorted(entries) for line in _map_lines(*entry)]


def _map_lines(first: int, offset: int, last: int, size: int, what: str, task: str) -> list[str]:
    place = f"{offset:8d} {size:8d}  ops {first:3d}..{last:<3d}  "
    line = place + plain(f"{what}  {task}".rstrip())
    if len(line) + _MARGIN <= WIDTH:
        return [line]
    indent = " " * (len(place) + 7)
    name = shortened(task, WIDTH - _MARGIN - len(indent))
    what = shortened(what, WIDTH - _MARGIN - len(place))
    return [place + plain(what), *([indent + plain(name)] if name else [])]
