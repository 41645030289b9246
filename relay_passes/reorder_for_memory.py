"""Run the kernels of a step in the order that needs the least memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import tvm
from tvm import relax

from .graph import bindings_of, main_of, op_name, tensor_bytes
from .in_place import in_place_pairs, parameters_read, workspace_bytes
from .order_search import Order, Task, live_bytes, search

FUNCTION = "main"
BACKWARD_SPARE = 1 / 32  # so much more may scratch take than the backward's peak without any
ALIGN = 16  # the arena's; every buffer is rounded up to it


@tvm.transform.module_pass(opt_level=0, name="ReorderForMemory")
class ReorderForMemory:
    """Reorder the kernel calls of ``main`` for the smallest peak of live bytes.

    A gradient's update runs as soon as its operands exist, a mask or a slice is cut from an
    activation while that is there, and what only the backward reads is computed when it costs
    least. See `order_search` for how, and for what is proven.

    Before and after: kernels as `lowering` leaves them; only the order of the bindings differs. The
    first argument (the input) takes memory until its last reader, the other arguments take none.
    An updated parameter (attribute ``trained_parameters``) is stored over the old value, so
    its update follows whatever else reads that.

    Attributes added to ``main``: ``peak_bytes`` and ``peak_lower_bound_bytes`` (of live bytes;
    workspaces and in-place results counted), ``order_method``.

    Examples
    --------
    .. code-block:: python

        d1 = R.call_tir(input_grad, (d2, w2), ...)        # before
        b2_new = R.call_tir(update, (b2, d2), ...)        # d2 lives until here
        ...
        b2_new = R.call_tir(update, (b2, d2), ...)        # after
        d1 = R.call_tir(input_grad, (d2, w2), ...)        # may now take the place of d2
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        function = main_of(module, "ReorderForMemory")
        steps = _Steps(module, function)
        order = search(steps.tasks, steps.sizes, steps.results)
        functions = dict(module.functions_items())
        functions[module.get_global_var(FUNCTION)] = _reordered(function, steps, order)
        return tvm.IRModule(functions, attrs=module.attrs)


def peak_without_scratch(module: tvm.IRModule) -> int:
    """The peak of live bytes of ``main``, in its order, if no kernel had a workspace."""
    steps = _Steps(module, main_of(module, "ReorderForMemory"))
    order = range(len(steps.tasks))
    live = live_bytes(steps.tasks, steps.sizes, steps.results, order)
    return max(live[i] - steps.tasks[i].workspace_bytes for i in order)


def with_less_scratch(
    module: tvm.IRModule, scratch: Mapping[str, int], free_bytes: int = 0
) -> dict[str, int]:
    """`scratch`, and less of it for the kernels whose scratch raises the peak of ``main``.

    scratch : bytes, as `module` was scheduled with, by kernel (see `DefaultSchedule`). It comes
        back equal if no peak is raised, or by kernels that can have no less.
    free_bytes : as many are there anyway, so that no peak below them counts.
    """
    function = main_of(module, "ReorderForMemory")
    if "peak_bytes" not in (function.attrs or {}):
        return dict(scratch)  # the order is open
    steps = _Steps(module, function)
    order = range(len(steps.tasks))
    live = live_bytes(steps.tasks, steps.sizes, steps.results, order)
    needed = [live[i] - steps.tasks[i].workspace_bytes for i in order]  # without any scratch
    limits = [max([*needed, free_bytes])] * len(needed)
    if steps.updates:  # the backward's own peak is kept low too, if not to the byte
        target = steps.tensors[function.params[1]]
        loss = next((i for i in order if target in steps.tasks[i].reads), 0)
        backward = int(max(needed[loss:]) * (1 + BACKWARD_SPARE))
        limits[loss:] = [min(limits[0], max(backward, free_bytes))] * len(needed[loss:])
    found = dict(scratch)
    for i in order:
        if live[i] > limits[i]:
            name = steps.bindings[i][0].value.args[0].name_hint
            room = limits[i] - needed[i]
            found[name] = min(room, found.get(name, room))
    return found


def _reordered(function, steps: _Steps, order: Order) -> relax.Function:
    calls = [b for index in order.tasks for b in steps.bindings[index]]
    block = relax.DataflowBlock([*steps.leading, *calls, *steps.trailing])
    body = relax.SeqExpr([block], function.body.body)
    result = relax.Function(
        function.params, body, function.ret_ty, is_pure=True, attrs=function.attrs
    )
    return result.with_attrs(
        {
            "peak_bytes": order.peak_bytes,
            "peak_lower_bound_bytes": order.lower_bound_bytes,
            "order_method": order.method,
        }
    )


class _Steps:
    """The kernel calls of a function as tasks over named tensors."""

    def __init__(self, module, function):
        self.module, self.function = module, function
        self.tensors: dict = {}  # variable -> name of its tensor, or a tuple of names
        self.sizes: dict[str, int] = {}
        self.leading: list = []  # other names of parameters and constants
        self.trailing: list = []  # tuples of results
        self.bindings: list[list] = []  # by task: its call and the names given to its results
        self.tasks: list[Task] = []
        self.writers: dict[str, int] = {}
        for position, parameter in enumerate(function.params):
            self.tensors[parameter] = f"parameter {position}"
        source = function.params[0]
        self.sizes[self.tensors[source]] = _aligned(source.ty)
        self.updates = _updated_parameters(function)
        for binding in bindings_of(function):
            self._binding(binding)
        self.results = self._names(function.body.body)
        self._updates_after_readers()

    def _binding(self, binding):
        var, value = binding.var, binding.value
        if op_name(value) == "relax.call_tir":
            self._call(binding)
            return
        self.tensors[var] = self._alias(value)
        if isinstance(value, relax.Tuple):
            self.trailing.append(binding)
            return
        writer = self.writers.get(self._names(var)[0])
        (self.leading if writer is None else self.bindings[writer]).append(binding)

    def _alias(self, value):
        """Another name for what exists: a reshape, a tuple, a field of one."""
        if isinstance(value, relax.Tuple):
            return tuple(self.tensors.get(field, "constant") for field in value.fields)
        if isinstance(value, relax.TupleGetItem):
            return self.tensors[value.tuple_value][value.index]
        if isinstance(value, relax.Call) and op_name(value) != "relax.reshape":
            name = op_name(value) or "a call"
            raise ValueError(f"ReorderForMemory: {name} is no kernel; run lowering() first.")
        return self.tensors.get(
            value if isinstance(value, relax.Var) else value.args[0], "constant"
        )

    def _call(self, binding):
        var, value = binding.var, binding.value
        kernel = self.module[value.args[0]]
        fields = list(value.args[1].fields)
        types = list(var.ty.fields) if isinstance(var.ty, relax.TupleType) else [var.ty]
        names = tuple(f"{len(self.tasks)}.{index}" for index in range(len(types)))
        self.tensors[var] = names if isinstance(var.ty, relax.TupleType) else names[0]
        if var not in self.updates:
            self.sizes |= {name: _aligned(ty) for name, ty in zip(names, types, strict=True)}
        self.writers |= dict.fromkeys(names, len(self.tasks))
        operands = [self.tensors.get(field, "constant") for field in fields]
        read = parameters_read(kernel)
        pairs = tuple(
            (operands[source], names[output - len(fields)])
            for source, output in in_place_pairs(kernel)
            if source < len(fields) <= output and operands.count(operands[source]) == 1
        )
        reads = tuple(dict.fromkeys(n for i, n in enumerate(operands) if i in read))
        self.tasks.append(Task(reads, names, workspace_bytes(kernel), pairs))
        self.bindings.append([binding])

    def _names(self, expr) -> tuple[str, ...]:
        if isinstance(expr, relax.Tuple):
            return tuple(name for field in expr.fields for name in self._names(field))
        found = self.tensors.get(expr, ())
        return (found,) if isinstance(found, str) else tuple(found)

    def _updates_after_readers(self):
        """Everything else that reads a parameter runs before it is overwritten."""
        after = {}
        for var, parameter in self.updates.items():
            update, name = self.writers[self.tensors[var]], self.tensors[parameter]
            others = (i for i, task in enumerate(self.tasks) if name in task.reads and i != update)
            after[update] = tuple(others)
        # a valid order to begin with: each update behind the last of those
        given = sorted(
            range(len(self.tasks)), key=lambda i: (max((i, *after.get(i, ()))), i in after)
        )
        place = {index: position for position, index in enumerate(given)}
        moved = {i: tuple(sorted(place[other] for other in others)) for i, others in after.items()}
        self.tasks = [replace(self.tasks[i], after=moved.get(i, ())) for i in given]
        self.bindings = [self.bindings[i] for i in given]


def _updated_parameters(function) -> dict[relax.Var, relax.Var]:
    """Variable of each new parameter value -> the parameter that it replaces."""
    names = (function.attrs or {}).get("trained_parameters", ())
    if not names:
        return {}
    values = {b.var: b.value for b in bindings_of(function)}
    result = values.get(function.body.body, function.body.body)
    parameters = {p.name: p for p in function.params}
    updated = zip(result.fields[1:], names, strict=True)
    return {var: parameters[str(name)] for var, name in updated}


def _aligned(ty) -> int:
    size = tensor_bytes([int(n) for n in ty.shape], str(ty.dtype))
    return (size + ALIGN - 1) // ALIGN * ALIGN
