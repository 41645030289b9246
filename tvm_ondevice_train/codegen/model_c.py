"""model.h, model.c and model_data.h from planned steps: C99, no malloc, no TVM."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from relay_passes.graph import ALIGN, aligned_bytes
from relay_passes.memory.step import Task, Tensor, prediction

from ..files.render import render
from .c_printer import C_TYPES, HEADERS
from .c_text import float_literal
from .planned_step import ParameterSlot, PlannedStep, identifier


@dataclass(frozen=True)
class Source:
    """Everything that the C of one model is made from.

    graph : text that tells one forward from another, whatever kernels compute it.
    train : its loss is known before the first update.
    evaluate : its results are output and loss; what the output needs comes first.
    """

    name: str
    graph: str
    train: PlannedStep
    evaluate: PlannedStep
    frozen: Mapping[str, np.ndarray]
    slots: tuple[ParameterSlot, ...]
    constants: Mapping[str, np.ndarray]
    input_shape: tuple[int, ...]
    input_dtype: str
    output_shape: tuple[int, ...]
    target: Tensor
    learning_rate: float
    classes: int | None

    @property
    def arena_bytes(self) -> int:
        return aligned_bytes(max(p.plan.total_bytes for p in (self.train, self.evaluate)))

    @property
    def arena_lower_bound_bytes(self) -> int:
        """The most bytes that are live at once."""
        return max(p.plan.lower_bound_bytes for p in (self.train, self.evaluate))

    @cached_property
    def model_hash(self) -> int:
        """Tells apart models that cannot go on with each other's trained parameters.

        Layout, names and first values of what trains, what is frozen, and the function of them;
        not how training computes: backward, schedules, rollback, learning rate.
        """
        check = zlib.crc32(self.graph.encode())
        trained = [(slot.name, slot.value) for slot in self.slots]
        for kind, values in (("trained", trained), ("frozen", self.frozen.items())):
            for name, value in values:
                check = zlib.crc32(f"{kind} {name} {value.dtype} {value.shape}".encode(), check)
                check = zlib.crc32(value.tobytes(), check)
        return check


def generate(source: Source) -> dict[str, str]:
    """File name -> text. The same source gives the same bytes."""
    return _Generator(source).files()


class _Generator:
    def __init__(self, source: Source):
        self.source = replace(source, name=plain(source.name))
        self.taken: set[str] = set()  # names at file scope
        self.arrays = {
            name: identifier(name, self.taken) for name in (*source.frozen, *source.constants)
        }
        self.fields = {slot.name: slot.field for slot in source.slots}
        self.kernels: dict[str, str] = {}  # text of a kernel -> its C name

    def files(self) -> dict[str, str]:
        source = self.source
        output, loss = source.evaluate.step.results
        evaluation = self._calls(source.evaluate)
        forward = len(prediction(source.evaluate.step).tasks)
        training = self._training_calls()
        updating = min(index for index, _ in source.train.step.updates)
        calls = {
            "loss_first_calls": training[:updating],
            "update_calls": training[updating:],
            "forward_calls": evaluation[:forward],
            "loss_calls": evaluation[forward:],
        }
        data = self._data()
        facts = {
            "source": source,
            "model_hash": f"0x{source.model_hash:08x}u",
            "arena_align": ALIGN,
            "input_ctype": C_TYPES[source.input_dtype],
            "target_ctype": C_TYPES[source.target.dtype],
            "input_elements": int(np.prod(source.input_shape)),
            "output_elements": int(np.prod(source.output_shape)),
            "target_elements": int(np.prod(source.target.shape)),
            "slots": [_slot(slot) for slot in source.slots],
            "learning_rate": float_literal(source.learning_rate),
            "arena_maps": [
                (title, arena_map(planned))
                for title, planned in (("training", source.train), ("evaluating", source.evaluate))
            ],
            "headers": ["odt_check.h", *HEADERS],
            "kernels": [text.replace("@NAME@", name) for text, name in self.kernels.items()],
            "train_input": source.train.input_offset,
            "evaluate_input": source.evaluate.input_offset,
            "train_loss": source.train.offset(source.train.step.results[0]),
            "evaluate_loss": source.evaluate.offset(loss),
            "output_offset": source.evaluate.offset(output),
            "backups": [(self.fields[t.name], offset) for _, t, offset in source.train.backups],
            "seeded": any(
                t.role == "seed" for task in source.train.step.tasks for t in task.inputs
            ),
            "rollback": source.train.step.rollback,
            **calls,
        }
        return {
            "model.h": render(__package__, "model.h", facts),
            "model.c": render(__package__, "model.c", facts),
            "model_data.h": data,
        }

    # -- kernel calls ---------------------------------------------------------------------------

    def _calls(self, planned: PlannedStep) -> list[str]:
        return [self._call(planned, index, task) for index, task in enumerate(planned.step.tasks)]

    def _training_calls(self) -> list[str]:
        """Calls of the step, each update behind the backup of what it writes over."""
        calls = self._calls(self.source.train)
        for index, tensor, offset in self.source.train.backups:
            field = f"odt->params.{self.fields[tensor.name]}"
            backup = f"memcpy(arena + {offset}, {field}, sizeof {field});"
            calls[index] = f"{backup}\n  {calls[index]}"
        return calls

    def _call(self, planned, index: int, task: Task) -> str:
        kernel = planned.kernels[task.kernel]
        arguments = [
            self._argument(planned, tensor, ctype, read_only)
            for tensor, (ctype, read_only) in zip(
                (*task.inputs, *task.outputs), kernel.parameters, strict=True
            )
        ]
        if task.kernel.workspace_bytes:
            arguments.append(f"arena + {planned.workspace_offset(index)}")
        if kernel.watches:
            arguments.append("&not_finite")
        if kernel.text not in self.kernels:  # equal text is one function
            self.kernels[kernel.text] = identifier(task.kind, self.taken)
        call = f"{self.kernels[kernel.text]}({', '.join(arguments)});"
        return f"{call} /* {plain(task.name)} */\n  ODT_YIELD();"

    def _argument(self, planned, tensor: Tensor, ctype: str, read_only: bool) -> str:
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
        const = "const " if read_only else ""
        return f"({const}{ctype} *)(void *)(arena + {planned.offset(tensor)})"

    # -- constant data --------------------------------------------------------------------------

    def _data(self) -> str:
        source = self.source
        used = {
            tensor.name
            for planned in (source.train, source.evaluate)
            for task in planned.step.tasks
            for tensor in task.inputs
        }
        arrays = [
            _array(self.arrays[name], value)
            for name, value in (*source.frozen.items(), *source.constants.items())
            if name in used
        ]
        initial = [_array(f"initial_{slot.field}", slot.value) for slot in source.slots]
        return render(__package__, "model_data.h", {"source": source, "arrays": arrays + initial})


def plain(text: str) -> str:
    """`text` as it may stand in a comment or a string of C; a model's names can be anything."""
    legal = (c if c.isascii() and c.isprintable() and c not in '*?"\\' else "_" for c in text)
    return "".join(legal)


def _slot(slot: ParameterSlot) -> dict:
    return {
        "ctype": C_TYPES[str(slot.value.dtype)],
        "field": slot.field,
        "elements": slot.value.size,
        "name": plain(slot.name),
        "shape": "x".join(str(n) for n in slot.value.shape),
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
            *(first, planned.offset(t), last, t.size_bytes),
            f"{t.name:<6} {t.dtype} {'x'.join(map(str, t.shape))}  {writers.get(t.name, '')}",
        )
        for t, (first, last) in planned.step.live.items()
    ]
    for index, task in enumerate(tasks):
        if task.kernel.workspace_bytes:
            place = (index, planned.workspace_offset(index), index, task.kernel.workspace_bytes)
            entries.append((*place, f"scratch  {task.name}"))
    for index, tensor, offset in planned.backups:
        entries.append((index, offset, len(tasks) - 1, tensor.size_bytes, tensor.backup_name))
    return [
        f"{offset:8d} {size:8d}  ops {first:3d}..{last:<3d}  " + plain(what.rstrip())
        for first, offset, last, size, what in sorted(entries)
    ]
