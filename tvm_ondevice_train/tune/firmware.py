"""Candidates of one kernel as one program: their operands, their calls, and who is right.

The program is a project like any other, with a model whose prediction runs the candidates. So it
builds, starts and talks as every project does, on every board and on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from relay_passes.graph import aligned_bytes
from relay_passes.memory.step import Tensor

from ..boards import Board
from ..boards import board as find_board
from ..codegen.c_expressions import C_TYPES
from ..codegen.c_printer import HEADERS, CKernel
from ..files.render import render
from ..losses import LABEL
from ..manifest import Manifest, Target
from ..tensor_spec import TensorSpec
from .tasks import Task

# element i of an operand that only another kernel would compute, from 32 random bits
_FILLS = {
    "float32": "(float)(int32_t)random * 0x1p-31f",
    "uint16": "odt_bfloat16_of((float)(int32_t)random * 0x1p-31f)",
    "int32": "(int32_t)(random >> 16) - 32768",
    "uint32": "random",
}
_ANY = "random"  # codes and bits: any will do
_FILLS_BY_ROLE = {"target": "0", "learning_rate": "0.01f"}
STACK_BYTES = 16384


@dataclass(frozen=True)
class Batch:
    """A program that runs `count` candidates; the first is the reference.

    board : the name of the board that it is for, "host" too. It goes over the network as it is.
    """

    board: str
    count: int
    model_c: str
    model_h: str

    @property
    def files(self) -> dict[str, str]:
        return {"model.c": self.model_c, "model.h": self.model_h}

    @property
    def manifest(self) -> Manifest:
        """That of a model which takes a flag for each candidate and gives two words for each."""
        outputs = 2 * self.count
        return Manifest(
            model="candidates",
            model_hash=0,
            scheme="none",
            board=self.board,
            loss="cross_entropy",
            classes=outputs,
            input=TensorSpec((1, self.count), "int8"),
            output_shape=(1, outputs),
            target=Target(LABEL, (1,)),
            trained_parameters={},
            stack_bytes=STACK_BYTES,
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def batch_of(task: Task, kernels: Sequence[CKernel], board: str) -> Batch:
    """The program for `kernels`, candidates of `task`; the default goes before them."""
    kernels = [task.default, *kernels]
    facts = _Layout(task, kernels).facts
    facts["name"], facts["headers"] = task.signature, HEADERS
    facts["clock"] = _clock(find_board(board))
    facts["candidates"] = [
        kernel.definition(name_of(index)) for index, kernel in enumerate(kernels)
    ]
    text = {name: render(__package__, name, facts) for name in ("model.c", "model.h")}
    return Batch(board, len(kernels), text["model.c"], text["model.h"])


def name_of(index: int) -> str:
    """The C function of a candidate."""
    return f"candidate_{index}"


def _clock(board: Board) -> str | None:
    if board.is_host:
        return "host"
    return "core" if board.platforms[0] == "baremetal" else None  # the port's own


class _Layout:
    """Where operands, results and scratch of the candidates lie: constants in flash."""

    def __init__(self, task: Task, kernels: Sequence[CKernel]) -> None:
        op = task.op
        self.end = 0
        self._place(len(kernels))  # the first bytes say which candidates run
        first = self.end
        places = {tensor.name: self._place(tensor.size_bytes) for tensor in op.outputs}
        size = self.end - first
        operands = []
        for index, tensor in enumerate(op.inputs):
            value = task.values.get(tensor.name)
            if value is None:
                places[tensor.name] = self._place(tensor.size_bytes)
                operands.append(_made_up(tensor, places[tensor.name]))
                continue
            constant = f"operand_{index}"
            operands.append({"name": constant, "content": _bytes(value), "made_up": None})
            updated = places.get(tensor.name)  # in place: it must be there before every call
            operands[-1] |= {"place": updated, "size_bytes": tensor.size_bytes}
            places.setdefault(tensor.name, constant)
        arguments = [
            f"({'const ' if read else ''}{ctype} *)(void *)({places[tensor.name]})"
            for tensor, (ctype, read) in zip(
                (*op.inputs, *op.outputs), kernels[0].parameters, strict=True
            )
        ]
        workspace = self._place(max(kernel.workspace_bytes for kernel in kernels))
        watching = ["&not_finite"] if kernels[0].watches else []
        self.facts = {
            "operands": operands,
            "calls": [
                ", ".join([*arguments, *([workspace] if kernel.workspace_bytes else []), *watching])
                for kernel in kernels
            ],
            "watched": bool(watching),
            "results_at": f"arena + {first}",
            "results_bytes": size,
            "expected_at": self._place(size),
            "arena_bytes": self.end,
        }

    def _place(self, size_bytes: int) -> str:
        offset = self.end
        self.end += aligned_bytes(size_bytes)
        return f"arena + {offset}"


def _made_up(tensor: Tensor, place: str) -> dict[str, Any]:
    """An operand that only another kernel could compute."""
    small = tensor.dtype in ("bool", "int8", "uint8", "int16")
    fill = _FILLS_BY_ROLE.get(tensor.role) or (_ANY if small else _FILLS[tensor.dtype])
    ctype = C_TYPES[tensor.dtype]
    elements = tensor.size_bytes if tensor.dtype == "bool" else int(np.prod(tensor.shape))
    made_up = f"({ctype})({fill})"
    return {"place": place, "ctype": ctype, "elements": elements, "made_up": made_up}


def _bytes(value: np.ndarray) -> str:
    raw = np.ascontiguousarray(value).tobytes()
    lines = (raw[start : start + 32] for start in range(0, len(raw), 32))
    return ",\n  ".join(", ".join(map(str, line)) for line in lines)
