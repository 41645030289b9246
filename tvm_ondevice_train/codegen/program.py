"""A lowered Relax function as a straight list of kernel calls over named tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import bindings_of, constant, dtype_of, op_name, shape_of, tensor_bytes

from ..model import layer_name
from .c_printer import CKernel, print_kernel


@dataclass(frozen=True)
class Tensor:
    """One buffer. ``role``: input, target, learning_rate, seed, parameter, constant, temporary."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str

    @property
    def size_bytes(self) -> int:
        return tensor_bytes(self.shape, self.dtype)


@dataclass(frozen=True)
class Op:
    """One kernel call; one with ``in_place`` writes its only output over a parameter."""

    name: str
    kind: str
    kernel: CKernel
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    in_place: bool = False


@dataclass(frozen=True)
class Program:
    """Ops in execution order, the values of the constants, and the tensors that are results."""

    ops: tuple[Op, ...]
    constants: dict[str, np.ndarray] = field(repr=False)
    results: tuple[Tensor, ...] = ()

    @property
    def macs(self) -> int:
        return sum(op.kernel.macs for op in self.ops)

    @property
    def updates(self) -> tuple[tuple[int, Tensor], ...]:
        """Index and parameter of each op that writes over one."""
        return tuple((i, op.outputs[0]) for i, op in enumerate(self.ops) if op.in_place)


def prediction(evaluation: Program) -> Program:
    """The ops of `evaluation`, whose results are output and loss, that the output needs."""
    output = evaluation.results[0]
    return Program(_needed(output, evaluation.ops), evaluation.constants, (output,))


def prediction_first(evaluation: Program) -> Program:
    """The same program, with what only the loss needs behind the prediction."""
    return _first_result_before(evaluation, 0)


def loss_before_updates(step: Program) -> Program:
    """The same step, whose first result is the loss, with it known before a parameter changes."""
    return _first_result_before(step, min(i for i, _ in step.updates))


def _first_result_before(program: Program, index: int) -> Program:
    """The same program, with what its first result needs moved before op `index`."""
    before, behind = program.ops[:index], program.ops[index:]
    needed = _needed(program.results[0], behind)
    rest = tuple(op for op in behind if op not in needed)
    return replace(program, ops=(*before, *needed, *rest))


def _needed(result: Tensor, ops: tuple[Op, ...]) -> tuple[Op, ...]:
    needed, found = {result.name}, []
    for op in reversed(ops):
        if any(tensor.name in needed for tensor in op.outputs):
            found.insert(0, op)
            needed.update(tensor.name for tensor in op.inputs)
    return tuple(found)


def extract(module: tvm.IRModule, roles: tuple[str, ...] = ()) -> Program:
    """Read ``module["main"]``, lowered by `relay_passes.lowering`, as a `Program`.

    Parameters
    ----------
    roles : role of each leading argument; the other arguments are parameters.

    A result named in the attribute ``trained_parameters`` is stored over that parameter, after
    every other op that reads it.
    """
    return _Extraction(module, roles).program()


class _Extraction:
    def __init__(self, module: tvm.IRModule, roles: tuple[str, ...]):
        self.module = module
        self.function = module["main"]
        self.roles = roles
        self.tensors: dict = {}  # Relax variable -> Tensor, or tuple of Tensors
        self.constants: dict[str, np.ndarray] = {}
        self.constant_names: dict = {}
        self.ops: list[Op] = []
        self.layers: dict[Tensor, str] = {}  # the layer that each temporary belongs to
        self.taken: set[str] = set()  # names of tensors; a model may call its own anything
        self.count = 0

    def program(self) -> Program:
        function = self.function
        leading = len(self.roles)
        self.taken.update(var.name for var in function.params[leading:])
        for position, var in enumerate(function.params):
            role = self.roles[position] if position < leading else "parameter"
            name = self._unique(var.name) if position < leading else var.name
            self.tensors[var] = Tensor(name, shape_of(var), dtype_of(var), role)
        self.values = {b.var: b.value for b in bindings_of(function)}
        self.overwritten = self._updates()
        self.kernels = _print_kernels(self.module, self.overwritten)
        for binding in bindings_of(function):
            self._binding(binding)
        results = tuple(self.tensors[f] for f in self._results())
        return Program(tuple(_updates_after_readers(self.ops)), self.constants, results)

    def _results(self) -> list:
        result = self.function.body.body
        value = self.values.get(result, result)
        return list(value.fields) if isinstance(value, relax.Tuple) else [result]

    def _updates(self) -> dict:
        """Variable of each new parameter value -> the parameter whose bytes it takes."""
        names = (self.function.attrs or {}).get("trained_parameters")
        if names is None:
            return {}
        fields = self._results()
        parameters = {t.name: t for t in self.tensors.values() if t.role == "parameter"}
        return {var: parameters[str(name)] for var, name in zip(fields[1:], names, strict=True)}

    def _binding(self, binding):
        var, value = binding.var, binding.value
        if isinstance(value, relax.Tuple):
            self.tensors[var] = tuple(self._operand(f) for f in value.fields)
        elif isinstance(value, relax.TupleGetItem):
            self.tensors[var] = self.tensors[value.tuple_value][value.index]
        elif isinstance(value, relax.Var):
            self.tensors[var] = self.tensors[value]
        elif op_name(value) == "relax.reshape":
            self.tensors[var] = self._operand(value.args[0])
        else:
            self._call(var, value)

    def _call(self, var, value):
        gvar, operands = value.args[0], value.args[1]
        inputs = tuple(self._operand(f) for f in operands.fields)
        if isinstance(var.ty, relax.TupleType):
            outputs = tuple(self._temporary(ty) for ty in var.ty.fields)
            self.tensors[var] = outputs
        else:
            outputs = (self.overwritten.get(var) or self._temporary(var.ty),)
            self.tensors[var] = outputs[0]
        kind = kind_of(gvar.name_hint)
        name = self._op_name(kind, inputs, outputs)
        kernel = self.kernels[gvar.name_hint, len(inputs), var in self.overwritten]
        inputs = tuple(inputs[index] for index in kernel.reads)
        self.ops.append(Op(name, kind, kernel, inputs, outputs, var in self.overwritten))

    def _op_name(self, kind: str, inputs, outputs) -> str:
        """Named after the layer whose parameter the op reads, else after that of its operands."""
        layers = [
            layer_name(t.name) if t.role == "parameter" else self.layers[t]
            for t in sorted(inputs, key=lambda t: t.role != "parameter")
            if t.role == "parameter" or t in self.layers
        ]
        layer = layers[0] if layers else "input"
        self.layers.update(dict.fromkeys(outputs, layer))
        return f"{layer}:{kind}"

    def _temporary(self, ty) -> Tensor:
        self.count += 1
        shape = tuple(int(d) for d in ty.shape)
        return Tensor(self._unique(f"t{self.count}"), shape, str(ty.dtype), "temporary")

    def _unique(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _operand(self, expr) -> Tensor:
        if expr in self.tensors:
            return self.tensors[expr]
        value = constant(expr)
        key = (str(value.dtype), value.tobytes())
        if key not in self.constant_names:
            self.constant_names[key] = self._unique(f"constant{len(self.constant_names)}")
        name = self.constant_names[key]
        self.constants[name] = np.ascontiguousarray(value)
        return Tensor(name, tuple(value.shape), str(value.dtype), "constant")


def _print_kernels(module, overwritten) -> dict:
    """C of each PrimFunc, by its name, number of inputs, and whether it updates a parameter."""
    kernels = {}
    for binding in bindings_of(module["main"]):
        if op_name(binding.value) != "relax.call_tir":
            continue
        name, inputs = binding.value.args[0].name_hint, len(binding.value.args[1].fields)
        key = (name, inputs, binding.var in overwritten)
        if key not in kernels:
            kernels[key] = print_kernel(module[name], *key[1:])
    return kernels


def kind_of(kernel_name: str) -> str:
    """``fused_dequantize1_conv2d2`` -> ``dequantize_conv2d``."""
    words = kernel_name.replace("conv2d", "conv#d").replace("pool2d", "pool#d")
    words = re.sub(r"\d+(?=_|$)", "", words).replace("#", "2")
    return re.sub(r"(^|(?<=_))(fused|tir|te)_", "", words)


def _updates_after_readers(ops: list[Op]) -> list[Op]:
    """The same order, but each in-place update behind the last op that reads the old value."""
    ordered: list[Op] = []
    waiting: list[Op] = []
    for position, op in enumerate(ops):
        later = ops[position + 1 :]
        (waiting if op.in_place and _read_by(op.outputs[0], later) else ordered).append(op)
        for update in [u for u in waiting if not _read_by(u.outputs[0], later)]:
            ordered.append(update)
            waiting.remove(update)
    return ordered


def _read_by(parameter: Tensor, ops: list[Op]) -> bool:
    return any(t.name == parameter.name for op in ops for t in op.inputs)


def rename_constants(program: Program, names: dict[str, str]) -> Program:
    """The same program with its constants under other names."""

    def renamed(tensor: Tensor) -> Tensor:
        return replace(tensor, name=names[tensor.name]) if tensor.role == "constant" else tensor

    ops = tuple(replace(op, inputs=tuple(renamed(t) for t in op.inputs)) for op in program.ops)
    constants = {names[n]: v for n, v in program.constants.items()}
    return Program(ops, constants, program.results)
