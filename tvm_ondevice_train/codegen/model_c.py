"""model.h, model.c and model_data.h from planned programs: C99, no malloc, no TVM."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..render import render
from .c_printer import C_TYPES, HEADERS
from .c_text import float_literal
from .layout import ARENA_ALIGN, ParameterSlot, PlannedProgram, backup_name, identifier
from .program import Op, Tensor, prediction


@dataclass(frozen=True)
class Source:
    """Everything that the C of one model is made from.

    graph : text that tells one forward from another, whatever kernels compute it.
    train : its loss is known before the first update.
    evaluate : its results are output and loss; what the output needs comes first.
    """

    name: str
    graph: str
    train: PlannedProgram
    evaluate: PlannedProgram
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
        total = max(p.plan.total_bytes for p in (self.train, self.evaluate))
        return (total + ARENA_ALIGN - 1) // ARENA_ALIGN * ARENA_ALIGN

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
        output, loss = source.evaluate.program.results
        evaluation = self._calls(source.evaluate)
        forward = len(prediction(source.evaluate.program).ops)
        training = self._training_calls()
        updating = min(index for index, _ in source.train.program.updates)
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
            "arena_align": ARENA_ALIGN,
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
            "train_loss": source.train.offset(source.train.program.results[0]),
            "evaluate_loss": source.evaluate.offset(loss),
            "output_offset": source.evaluate.offset(output),
            "backups": [(self.fields[t.name], offset) for _, t, offset in source.train.backups],
            "seeded": any(t.role == "seed" for op in source.train.program.ops for t in op.inputs),
            "rollback": source.train.rollback,
            **calls,
        }
        return {
            "model.h": render(__package__, "model.h", facts),
            "model.c": render(__package__, "model.c", facts),
            "model_data.h": data,
        }

    # -- kernel calls ---------------------------------------------------------------------------

    def _calls(self, planned: PlannedProgram) -> list[str]:
        return [self._call(planned, index, op) for index, op in enumerate(planned.program.ops)]

    def _training_calls(self) -> list[str]:
        """Calls of the step, each update behind the backup of what it writes over."""
        calls = self._calls(self.source.train)
        for index, tensor, offset in self.source.train.backups:
            field = f"odt->params.{self.fields[tensor.name]}"
            backup = f"memcpy(arena + {offset}, {field}, sizeof {field});"
            calls[index] = f"{backup}\n  {calls[index]}"
        return calls

    def _call(self, planned, index: int, op: Op) -> str:
        arguments = [
            self._argument(planned, tensor, ctype, read_only)
            for tensor, (ctype, read_only) in zip(
                (*op.inputs, *op.outputs), op.kernel.parameters, strict=True
            )
        ]
        if op.kernel.workspace_bytes:
            arguments.append(f"arena + {planned.workspace_offset(index)}")
        if op.kernel.watches:
            arguments.append("&not_finite")
        call = f"{self._kernel(op)}({', '.join(arguments)});"
        return f"{call} /* {plain(op.name)} */\n  ODT_YIELD();"

    def _kernel(self, op: Op) -> str:
        """Name of the kernel's one copy: equal text is one function."""
        if op.kernel.text not in self.kernels:
            self.kernels[op.kernel.text] = identifier(op.kind, self.taken)
        return self.kernels[op.kernel.text]

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
            for op in planned.program.ops
            for tensor in op.inputs
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


def arena_map(planned: PlannedProgram) -> list[str]:
    """One line a tensor or scratch: offset, bytes, live range, shape, what writes it."""
    writers = {t.name: op.name for op in planned.program.ops for t in op.outputs}
    entries = [
        (
            *(first, planned.offset(t), last, t.size_bytes),
            f"{t.name:<6} {t.dtype} {'x'.join(map(str, t.shape))}  {writers.get(t.name, '')}",
        )
        for t, (first, last) in planned.live.items()
    ]
    for index, op in enumerate(planned.program.ops):
        if op.kernel.workspace_bytes:
            place = (index, planned.workspace_offset(index), index, op.kernel.workspace_bytes)
            entries.append((*place, f"scratch  {op.name}"))
    end = len(planned.program.ops) - 1
    for index, tensor, offset in planned.backups:
        entries.append((index, offset, end, tensor.size_bytes, backup_name(tensor)))
    return [
        f"{offset:8d} {size:8d}  ops {first:3d}..{last:<3d}  " + plain(what.rstrip())
        for first, offset, last, size, what in sorted(entries)
    ]
