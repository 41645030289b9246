"""Loop nests that a schedule tiled for a microkernel of the runtime become calls of it."""

from __future__ import annotations

from collections.abc import Mapping

import tvm
import tvm_ffi
from tvm_ffi.structural import StructuralVisitor

from ..kernel_attributes import PLAIN_LOOPS
from ..memory.scratch import ELEMENTS, elements_of, with_workspace
from ..tir import tirx
from ..tvm_pass import Pass, prim_func_pass
from . import RECORDS
from .form import is_product
from .nest import Scratch, Unfit, check, nests_in
from .record import MARK


@prim_func_pass
class SelectMicrokernels(Pass):
    """Replace what `DefaultSchedule` annotated for microkernels by calls of them.

    The annotation names a record of `microkernels`, which reads the arguments from the nest's
    indices and checks them. Scratch whose arrangement is private to microkernels is used by calls
    only. Where one check fails, all of the kernel stays loops, and its attribute
    ``odt.plain_loops`` says why. Run it behind `InPlace`, which reads loops.

    Examples
    --------
    .. code-block:: python

        with T.attr(p, "pragma_microkernel", "odt_pack"):                        # before
            for p, k in T.grid(4, 48):
                columns[p * 48 + k] = T.Cast("int16", T.Cast("int32", x[k * 256 + i * 4 + p]) + 128)
        ...
        with T.attr(o, "pragma_microkernel", "odt_dot"):
            for o, p, k in T.grid(2, 4, 48):
                acc[o * 4 + p] += columns[p * 48 + k] * w[j * 96 + o * 48 + k]

        odt_pack(columns, &x[i * 4], 256, -128, 4, 48)                           # after
        ...
        odt_dot(acc, columns, &w[j * 96], 48, 4, 48, 0, 48, 2)
    """

    def transform_function(
        self,
        function: tirx.PrimFunc,
        _module: tvm.IRModule,
        _context: tvm.transform.PassContext,
    ) -> tirx.PrimFunc:
        kernel = _Kernel(function)
        if not kernel.marked:
            return function
        try:
            body = _rewritten(function.body, kernel.statements(), kernel.scratch.arrangements)
        except Unfit as unfit:
            loops = {mark: mark.body for mark in kernel.marked}
            function = function.with_attr(PLAIN_LOOPS, str(unfit))
            body = _rewritten(function.body, loops, {})
        return with_workspace(function.with_body(body))


class _Kernel:
    """The nests of a kernel that are for microkernels, and its scratch."""

    def __init__(self, function: tirx.PrimFunc) -> None:
        self.scratch = Scratch()
        self.marked: dict[tirx.AttrStmt, tuple[tirx.For, ...]] = {}  # annotation -> loops around it
        self.elsewhere: set[tirx.Var] = set()  # buffers and loop variables of other statements
        self.around: tuple[tirx.For, ...] = ()
        callbacks = [
            (tirx.AttrStmt, self._attribute),
            (tirx.For, self._loop),
            (tirx.AllocBuffer, self._allocated),
            (tirx.Var, lambda variable, _: self.elsewhere.add(variable)),
        ]
        tvm_ffi.structural_visit(function.body, callbacks)

    def _attribute(self, node: tirx.AttrStmt, visitor: StructuralVisitor) -> None:
        if node.attr_key == MARK:
            self.marked[node] = self.around
        else:
            visitor.default_visit(node)

    def _loop(self, loop: tirx.For, visitor: StructuralVisitor) -> None:
        self.around = (*self.around, loop)
        visitor.default_visit(loop)
        self.around = self.around[:-1]

    def _allocated(self, node: tirx.AllocBuffer, _visitor: StructuralVisitor) -> None:
        self.scratch.elements[node.buffer] = elements_of(node)

    def statements(self) -> dict[tirx.AttrStmt, tirx.Stmt]:
        """What stands for each annotation; raises Unfit."""
        nests = []
        for mark, around in self.marked.items():
            parts = nests_in(mark.body, around, self.scratch)
            self.scratch.filled.setdefault(parts[0].store.buffer, parts)
            nests.append((mark, RECORDS[str(mark.value.value)], parts))
        # sums of products first: they say how operands must lie
        nests.sort(key=lambda each: not any(map(is_product, each[1].formulas)))
        found = {
            mark: tirx.stmt_seq(*(record.statement(nest) for nest in parts))
            for mark, record, parts in nests
        }
        shared = self.elsewhere & set(self.scratch.arrangements)
        check(not shared, "scratch of microkernels is used by loops, too")
        return found


def _rewritten(
    body: tirx.Stmt,
    statements: Mapping[tirx.AttrStmt, tirx.Stmt],
    arrangements: Mapping[tirx.Var, object],
) -> tirx.Stmt:
    """`body` with what stands for annotations, and with the scratch that they need."""

    def allocated(node: tirx.AllocBuffer) -> tirx.AllocBuffer:
        elements = getattr(arrangements.get(node.buffer), "elements", None)
        return tirx.AllocBuffer(node.buffer, {ELEMENTS: elements}) if elements else node

    callbacks = [
        (tirx.AttrStmt, lambda node: statements.get(node, node)),
        (tirx.AllocBuffer, allocated),
    ]
    return tvm_ffi.structural_map(body, callbacks, order="pre")
