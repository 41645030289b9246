"""From a lowered module to a `Step`: names, roles, aliases, versions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tvm
from tvm import relax

from ..graph import (
    ancestors_of,
    bindings_of,
    check_static_shapes,
    constant,
    dtype_of,
    is_call_of,
    loss_of,
    main_of,
    op_name,
    shape_of,
    updated_by,
)
from ..kernel_attributes import (
    in_place_pairs,
    macs,
    operand_names,
    operator_names,
    parameters_read,
    reason_for_plain_loops,
    workspace_bytes,
)
from ..layer_words import layer_name
from ..tir import tirx
from .step import Kernel, Step, Task, Tensor, in_valid_order


def read_step(module: tvm.IRModule, roles: tuple[str, ...] = (), func_name: str = "main") -> Step:
    """Read a function whose kernels are lowered, by `relay_passes.lowering` for one, as a `Step`.

    ValueError names what of the function is no kernel call: calls of other functions, branches,
    shapes that are not static.

    Attributes of the function that it reads: those of `updated_by`, which name what the results
    behind the first are new versions of; ``rollback``, ``peak_bytes``, ``backward`` and
    ``changing_parameters``, which become those of the step.

    roles : role of each leading argument; the other arguments are parameters.
    """
    return _Reader(module, roles, func_name).step()


class _Reader:
    def __init__(self, module: tvm.IRModule, roles: tuple[str, ...], func_name: str) -> None:
        self.module, self.func_name = module, func_name
        self.function = main_of(module, "read_step", func_name)
        self._check_arguments()
        self.attrs = self.function.attrs or {}
        self.taken = {var.name for var in self.function.params[len(roles) :]}
        self.tensors: dict[relax.Var, Tensor | tuple[Tensor, ...]] = {}
        for position, var in enumerate(self.function.params):
            role = roles[position] if position < len(roles) else "parameter"
            name = self._unique(var.name) if position < len(roles) else var.name
            self.tensors[var] = Tensor(name, shape_of(var), dtype_of(var), role)
        self.values = {b.var: b.value for b in bindings_of(self.function)}
        self.results = self._fields(self.function.body.body)
        self.versions = self._versions()
        self.kernels: dict[tuple[str, int, bool], Kernel] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.constant_names: dict[tuple[str, bytes], str] = {}
        self.layers: dict[Tensor, str] = {}  # the layer that each temporary belongs to
        kept = "optimizer_states", "gradient_sums"  # named after what trains
        self.states = {str(name) for kind in kept for name in self.attrs.get(kind, ())}
        self.before_loss = ancestors_of(self.function, loss_of(self.function))
        self.forward: set[Tensor] = set()  # temporaries of the forward
        self.count = 0

    def _check_arguments(self) -> None:
        check_static_shapes(self.function, self.func_name, "read_step")
        for var in self.function.params:
            if not isinstance(var.ty, relax.TensorType):
                raise self._refused(f"{var.name} is no tensor")

    def _refused(self, what: str) -> ValueError:
        return ValueError(f'read_step: "{self.func_name}": {what}.')

    def step(self) -> Step:
        tasks = []
        for binding in bindings_of(self.function):
            if is_call_of(binding.value, "relax.call_tir"):
                tasks.append(self._task(binding))
            else:
                self.tensors[binding.var] = self._alias(binding.value)
        results: list[Tensor] = []
        for result in self.results:
            found = self._tensors(result)
            results += found if isinstance(found, tuple) else [found]
        peak = self.attrs.get("peak_bytes")
        names = self.attrs.get("changing_parameters")
        changing = None if names is None else frozenset(map(str, names))
        return Step(
            in_valid_order(_of_updated_layers(tasks), results, changing),
            self.constants,
            tuple(results),
            bool(self.attrs.get("rollback", 0)),
            None if peak is None else int(peak),
            str(self.attrs.get("backward", "float32")),
            changing,
        )

    def _fields(self, result: relax.Expr) -> list[relax.Expr]:
        value = self.values.get(result, result)
        return list(value.fields) if isinstance(value, relax.Tuple) else [result]

    def _versions(self) -> dict[tuple[relax.Var, int], Tensor]:
        """(call, number of the result) of each update -> the new version of its parameter."""
        names = updated_by(self.function)
        arguments = (t for t in self.tensors.values() if isinstance(t, Tensor))
        parameters = {t.name: t for t in arguments if t.role == "parameter"}
        return {
            self._origin(var): _next_version(parameters[name])
            for var, name in zip(self.results[1:] if names else (), names, strict=True)
        }

    def _origin(self, var: relax.Var) -> tuple[relax.Var, int]:
        """The variable that a call binds, and which of its results `var` is a name of."""
        value, index = self.values.get(var), 0
        while value is not None and not is_call_of(value, "relax.call_tir"):
            if isinstance(value, relax.TupleGetItem):
                var, index = value.tuple_value, value.index
            else:
                var = value if isinstance(value, relax.Var) else value.args[0]
            value = self.values.get(var)
        return var, index

    def _alias(self, value: relax.Expr) -> Tensor | tuple[Tensor, ...]:
        """Another name for what exists: a reshape, a tuple, a field of one."""
        if isinstance(value, relax.Tuple):
            return tuple(self._tensor(field) for field in value.fields)
        if isinstance(value, relax.TupleGetItem):
            fields = self.tensors[value.tuple_value]
            assert isinstance(fields, tuple), "only a tuple has fields"
            return fields[value.index]
        if is_call_of(value, "relax.reshape"):
            return self._tensor(value.args[0])
        if isinstance(value, relax.Call):
            name = op_name(value) or f"a call of {value.op}"
            raise self._refused(f"{name} is no kernel; run lowering() first")
        return self._tensors(value)

    def _task(self, binding: relax.VarBinding) -> Task:
        var, (gvar, operands) = binding.var, binding.value.args[:2]
        fields = [self._tensor(field) for field in operands.fields]
        is_tuple = isinstance(var.ty, relax.TupleType)
        types = var.ty.fields if is_tuple else [var.ty]
        outputs = tuple(
            self.versions.get((var, index)) or self._temporary(ty) for index, ty in enumerate(types)
        )
        self.tensors[var] = outputs if is_tuple else outputs[0]
        kernel = self._kernel(gvar, len(fields), any(tensor.version for tensor in outputs))
        inputs = tuple(fields[index] for index in kernel.reads)
        for index, new in enumerate(outputs):
            over = [i for i, old in enumerate(inputs) if new.version and old == new.before]
            stored = all((i, index) in kernel.in_place for i in over)
            assert stored, f"{gvar.name_hint} reads {new.name} and is stored over it"
        kind = kind_of(gvar.name_hint)
        if var in self.before_loss:
            self.forward.update(outputs)
        return Task(self._name(kind, fields, outputs), kind, kernel, inputs, outputs, binding)

    def _kernel(self, gvar: relax.GlobalVar, inputs: int, updates: bool) -> Kernel:
        key = gvar.name_hint, inputs, updates
        if key not in self.kernels:
            self.kernels[key] = kernel_of(self.module[gvar], inputs, updates)
        return self.kernels[key]

    def _name(self, kind: str, operands: Sequence[Tensor], outputs: Sequence[Tensor]) -> str:
        """Named after the layer whose parameter the task reads, else after that of its operands.

        Of these, what the forward saved for the backward says more than an adjoint.
        """
        suits = sorted(operands, key=lambda t: (t.role != "parameter", t not in self.forward))
        otherwise = "optimizer" if outputs[0].name in self.states else "input"
        layer = next(filter(None, map(self._layer, suits)), otherwise)
        self.layers.update(dict.fromkeys(outputs, layer))
        return f"{layer}:{kind}"

    def _layer(self, tensor: Tensor) -> str | None:
        if tensor.name in self.states and tensor.shape:
            return layer_name(tensor.name.rpartition(".")[0])
        if tensor.role == "parameter" and tensor.shape:  # without a shape: a hyper-parameter
            return layer_name(tensor.name)
        return self.layers.get(tensor)

    def _temporary(self, ty: relax.TensorType) -> Tensor:
        self.count += 1
        shape = tuple(int(d) for d in ty.shape)
        return Tensor(self._unique(f"t{self.count}"), shape, str(ty.dtype), "temporary")

    def _unique(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _tensor(self, expr: relax.Expr) -> Tensor:
        found = self._tensors(expr)
        assert isinstance(found, Tensor), "tuples are not nested, and no operands"
        return found

    def _tensors(self, expr: relax.Expr) -> Tensor | tuple[Tensor, ...]:
        if expr in self.tensors:
            return self.tensors[expr]
        value = constant(expr)
        if value is None:
            raise self._refused(f"{type(expr).__name__} is no tensor")
        key = (str(value.dtype), value.tobytes())
        if key not in self.constant_names:
            self.constant_names[key] = self._unique(f"constant{len(self.constant_names)}")
        name = self.constant_names[key]
        self.constants[name] = np.ascontiguousarray(value)
        return Tensor(name, tuple(value.shape), str(value.dtype), "constant")


def _of_updated_layers(tasks: Sequence[Task]) -> list[Task]:
    """`tasks`; what only the updates of one layer read is named after that layer."""
    readers = defaultdict(list)
    for task in tasks:
        for tensor in task.inputs:
            readers[tensor].append(task)
    named = []
    for task in tasks:
        found = [reader for tensor in task.outputs for reader in readers[tensor]]
        layers = {reader.layer for reader in found if reader.updates}
        if len(layers) == 1 and all(reader.updates for reader in found):
            task = replace(task, name=f"{layers.pop()}:{task.kind}")
        named.append(task)
    return named


def kernel_of(function: tirx.PrimFunc, inputs: int, updates: bool = False) -> Kernel:
    """What a caller must know of a lowered PrimFunc."""
    reads = tuple(sorted(index for index in parameters_read(function) if index < inputs))
    in_place = tuple(
        (reads.index(source), output - inputs)
        for source, output in in_place_pairs(function)
        if source in reads and output >= inputs
    )
    facts = workspace_bytes(function), macs(function), inputs, updates
    names = operator_names(function), operand_names(function, inputs)
    return Kernel(reads, in_place, *facts, reason_for_plain_loops(function), *names, function)


def _next_version(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.shape, tensor.dtype, tensor.role, tensor.version + 1)


def kind_of(kernel_name: str) -> str:
    """``fused_dequantize1_conv2d2`` -> ``dequantize_conv2d``."""
    words = kernel_name.replace("conv2d", "conv#d").replace("pool2d", "pool#d")
    words = re.sub(r"\d+(?=_|$)", "", words).replace("#", "2")
    return re.sub(r"(^|(?<=_))(fused|tir|te)_", "", words)
