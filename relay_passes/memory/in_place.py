"""Which results of a kernel may take an operand's bytes, and the scratch it needs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import tvm
from tvm import sym
from tvm_ffi import structural_equal

from ..graph import ALIGN, tensor_bytes
from ..kernel_attributes import IN_PLACE, READS
from ..loops import analyzer_of, extent_of, operands
from ..tir import tirx
from ..tvm_pass import Pass, prim_func_pass
from .scratch import with_workspace


@prim_func_pass
class InPlace(Pass):
    """Prove, kernel by kernel, which result may overwrite which operand.

    Each PrimFunc (lowered by `LowerToLoops`) gets four attributes: ``odt.in_place``, pairs of an
    input and an output parameter, by position, that one buffer can hold; ``odt.reads``, positions
    of the parameters that it loads at all; ``odt.workspace_bytes``, its scratch, and
    ``odt.workspace_offsets``, where in it its local buffers lie. A pair is proven from the loads
    and stores themselves, by one of two rules; nothing else matters.

    * elementwise: the output is stored once an element, each element after the last load of the
      operand's element of the same index, and no other element of the operand is loaded there;
    * plane by plane: one outermost loop, in whose iteration v all loads of the operand lie in its
      v-th part and are done before the first store, and all stores lie in the output's v-th part.
      `DefaultSchedule` makes depthwise convolutions and pools so: they copy one channel's plane
      into scratch first. An output that is smaller takes the operand's first bytes; for one that
      is larger the operand must lie in the output's last bytes: the stores never catch up with
      what is still to be loaded.

    Whether a pair is used is for `ReorderForMemory` and the memory plan to say.

    Examples
    --------
    .. code-block:: python

        @T.prim_func                                                  # before
        def add(x: T.handle("int8"), y: T.handle("int8"), z: T.handle("int8")):
            for i in range(64):
                z_1[i] = x_1[i] + y_1[i]

        @T.prim_func                                                  # after
        def add(x: T.handle("int8"), y: T.handle("int8"), z: T.handle("int8")):
            T.func_attr({"odt.in_place": [[0, 2], [1, 2]], "odt.reads": [0, 1],
                         "odt.workspace_bytes": 0, "odt.workspace_offsets": []})
            ...
    """

    def transform_function(
        self,
        function: tirx.PrimFunc,
        _module: tvm.IRModule,
        _context: tvm.transform.PassContext,
    ) -> tirx.PrimFunc:
        accesses = _Accesses(function)
        pairs = [
            [position, other]
            for position, source in enumerate(function.params)
            for other, output in enumerate(function.params)
            if position != other and accesses.may_share(source, output)
        ]
        reads = [i for i, var in enumerate(function.params) if accesses.loads[var]]
        return with_workspace(function.with_attrs({IN_PLACE: pairs, READS: reads}))


def _bytes(var: tirx.Var) -> int:
    return tensor_bytes([int(n) for n in var.ty.shape], str(var.ty.dtype))


def _check_harmless(node: tirx.Stmt) -> None:
    """ValueError for a statement whose loads and stores would be missed."""
    kind, call = type(node).__name__, getattr(node, "value", None)
    if kind == "Evaluate" and isinstance(call, tvm.ir.Call):
        raise ValueError(f"InPlace: a kernel calls {call}, whose loads and stores are not seen.")
    if kind not in ("AllocBuffer", "Evaluate"):
        raise ValueError(
            f"InPlace: a kernel holds a {kind}, no plain loop; run LowerToLoops first."
        )


@dataclass(frozen=True)
class _Access:
    statement: int
    index: tirx.Expr
    loops: tuple[tirx.For, ...]  # around the access, outermost first
    conditions: tuple[tirx.Expr, ...]  # of the `if_then_else` around it

    def precedes(self, store: _Access) -> bool:
        """Whether this load is done before a store to the same index."""
        return self.statement < store.statement and structural_equal(self.index, store.index)


def _viewed(pointer: tirx.Expr) -> tirx.Expr:
    """The buffer that a pointer is computed from."""
    return _viewed(pointer.args[0]) if isinstance(pointer, tvm.ir.Call) else pointer


class _Accesses:
    """Every load and store of a kernel's parameters, in program order."""

    def __init__(self, function: tirx.PrimFunc) -> None:
        self.root = {var: var for var in function.params}  # buffer -> the parameter it views
        self.loads: dict[tirx.Var | None, list[_Access]] = defaultdict(list)
        self.stores: dict[tirx.Var | None, list[_Access]] = defaultdict(list)
        self.statement = 0
        self._visit(function.body, ())

    def _visit(self, node: tirx.Stmt, loops: tuple[tirx.For, ...]) -> None:
        kind = type(node).__name__
        if kind == "SeqStmt":
            for child in node.seq:
                self._visit(child, loops)
        elif kind in ("For", "AttrStmt"):
            self._visit(node.body, (*loops, node) if kind == "For" else loops)
        elif kind == "IfThenElse":
            self._read(node.condition, loops)
            for case in filter(None, (node.then_case, node.else_case)):
                self._visit(case, loops)
        elif kind == "DeclBuffer":
            self.root[node.buffer] = self.root.get(_viewed(node.data))
        elif kind == "Bind":
            self._read(node.value, loops)
        elif kind == "BufferStore":
            self._read(node.value, loops)
            self._read(node.indices[0], loops)
            self.statement += 1
            access = _Access(self.statement, node.indices[0], loops, ())
            self.stores[self.root.get(node.buffer)].append(access)
        else:
            _check_harmless(node)

    def _read(
        self, expr: tirx.Expr, loops: tuple[tirx.For, ...], conditions: tuple[tirx.Expr, ...] = ()
    ) -> None:
        if type(expr).__name__ == "TensorLoad":
            access = _Access(self.statement, expr.indices[0], loops, conditions)
            self.loads[self.root.get(expr.source)].append(access)
        if isinstance(expr, tvm.ir.Call) and expr.op.name.endswith("if_then_else"):
            condition, yes, no = expr.args
            self._read(condition, loops, conditions)
            self._read(yes, loops, (*conditions, condition))
            self._read(no, loops, conditions)
            return
        for child in operands(expr):
            self._read(child, loops, conditions)

    def may_share(self, source: tirx.Var, output: tirx.Var) -> bool:
        if not self.loads[source] or not self.stores[output] or self.stores[source]:
            return False
        if "bool" in (str(source.ty.dtype), str(output.ty.dtype)):
            return False  # bits of one byte are not stored by one statement
        return self._elementwise(source, output) or self._by_planes(source, output)

    def _elementwise(self, source: tirx.Var, output: tirx.Var) -> bool:
        stores = self.stores[output]
        if _bytes(source) != _bytes(output):
            return False
        stored = sum(extent_of(store.loops) for store in stores)
        if stored != math.prod(int(n) for n in output.ty.shape):
            return False  # an element is stored twice
        return all(any(map(load.precedes, stores)) for load in self.loads[source])

    def _by_planes(self, source: tirx.Var, output: tirx.Var) -> bool:
        """Also where the outermost loop was cut into several, one behind the other."""
        loads, stores = self.loads[source], self.stores[output]
        if max(_bytes(output) - _bytes(source), 0) % ALIGN:
            return False  # the operand would not lie where buffers begin
        if any(not access.loops for access in (*loads, *stores)):
            return False
        nests = list(dict.fromkeys(access.loops[0] for access in (*loads, *stores)))
        planes = sum(int(nest.extent) for nest in nests)
        start = 0
        for nest in nests:
            read = [load for load in loads if load.loops[0].same_as(nest)]
            written = [store for store in stores if store.loops[0].same_as(nest)]
            if not _loads_first(read, written):
                return False
            whole = (source, read), (output, written)
            if not all(_is_plane_of(var, planes, start, accesses) for var, accesses in whole):
                return False
            start += int(nest.extent)
        return True


def _loads_first(loads: Sequence[_Access], stores: Sequence[_Access]) -> bool:
    """Whether all loads of one iteration of the outermost loop are done before its first store."""
    if not loads or not stores:
        return False
    inner = {access.loops[1] for access in loads if len(access.loops) > 1}
    mixed = any(len(access.loops) > 1 and access.loops[1] in inner for access in stores)
    return not mixed and max(a.statement for a in loads) < min(a.statement for a in stores)


def _is_plane_of(var: tirx.Var, planes: int, start: int, accesses: Iterable[_Access]) -> bool:
    """Whether iteration v of the outermost loop stays within plane ``start + v`` of `var`."""
    plane = math.prod(int(n) for n in var.ty.shape) / planes
    for access in accesses:
        analyzer = analyzer_of(access.loops[1:])
        linear = sym.detect_linear_equation(access.index, [access.loops[0].loop_var])
        if not linear or not isinstance(linear[0], tirx.IntImm) or int(linear[0]) != plane:
            return False
        with ExitStack() as scopes:
            for condition in access.conditions:
                scopes.enter_context(analyzer.constraint_scope(condition))
            bound = analyzer.const_int_bound(linear[1])
        if not plane * start <= bound.min_value <= bound.max_value < plane * (start + 1):
            return False
    return True
