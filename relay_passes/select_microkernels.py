"""Loop nests that a microkernel of the runtime computes become calls of it."""

from __future__ import annotations

import math

import tvm
from tvm import tirx

from .block_stagings import codes_on_grid, peaks, spread_codes
from .epilogues import ending
from .graph import operands
from .in_place import ELEMENTS, with_workspace
from .microkernels import Leaf, Match, accumulation
from .orders import PhaseTaps, Taps
from .stagings import clearing, masking, scaling, staging, widening


@tvm.transform.module_pass(opt_level=0, name="SelectMicrokernels")
class SelectMicrokernels:
    """Replace what `DefaultSchedule` tiled for microkernels by calls of them (runtime/c/odt_*.h).

    A nest is recognised by its loops and indices alone: an accumulation of products of int16
    scratch and int8, or scratch and scratch; and the staging of that scratch. Scratch in an order
    that is private to a microkernel is used by calls only: where one nest around a buffer is not
    recognised, all nests around it stay loops. Run it behind `InPlace`, which reads loops.

    Examples
    --------
    .. code-block:: python

        for p, k in T.grid(4, 48):                                               # before
            columns[p * 48 + k] = T.Cast("int16", T.Cast("int32", x[k * 256 + i * 4 + p]) + 128)
        ...
        for o, p, k in T.grid(2, 4, 48):
            acc[o * 4 + p] += columns[p * 48 + k] * w[j * 96 + o * 48 + k]

        odt_pack(columns, &x[i * 4], 256, -128, 4, 48)                           # after
        ...
        odt_dot(acc, columns, &w[j * 96], 48, 4, 48, 0, 48, 2)
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        functions = {
            gvar: _selected(function) if isinstance(function, tirx.PrimFunc) else function
            for gvar, function in module.functions_items()
        }
        return tvm.IRModule(functions, attrs=module.attrs)


def _selected(function: tirx.PrimFunc) -> tirx.PrimFunc:
    kernel = _Kernel(function)
    matches = kernel.matches()
    if not matches:
        return function
    return with_workspace(function.with_body(_rewritten(function.body, matches)))


class _Kernel:
    """The nests of a kernel, and which of them a microkernel computes."""

    def __init__(self, function: tirx.PrimFunc):
        self.nests: dict[tirx.For, list[Leaf]] = {}
        self.ends: dict[tirx.For, Match] = {}  # nests that make results of accumulators
        self.sizes: dict = {}  # scratch buffer -> elements
        self.elsewhere: set = set()  # buffers of statements that are no part of a nest
        self._collect(function.body)

    def _collect(self, node, around=()):
        kind = type(node).__name__
        if kind == "SeqStmt":
            for child in node.seq:
                self._collect(child, around)
        elif kind == "AllocBuffer":
            self.sizes[node.buffer] = math.prod(int(n) for n in node.buffer.ty.shape)
        elif kind == "For":
            leaves = _leaves(node, (), around)
            if self._ends(node):
                return
            if leaves is not None and len({leaf.store.buffer for leaf in leaves}) == 1:
                self.nests[node] = leaves
            else:
                self._collect(node.body, (*around, node))
        elif kind == "BufferStore":
            self.nests[node] = [Leaf((), node, around)]  # without loops: its order matters as well
        elif kind not in ("DeclBuffer", "Evaluate"):
            self.elsewhere |= _touched(node)

    def _ends(self, loop) -> bool:
        match = ending(loop, self.sizes)
        if match:
            self.ends[loop] = match
        return match is not None

    def matches(self) -> dict[tirx.For, Match]:
        """What replaces which nest. All nests around a scratch buffer agree on its order."""
        spread = {
            leaves[0].store.buffer: grid
            for leaves in self.nests.values()
            if len(leaves) == 1 and (grid := spread_codes(leaves[0]))
        }
        found = {
            loop: accumulation(leaves, self.sizes, spread) for loop, leaves in self.nests.items()
        }
        orders: dict = {}
        for match in found.values():
            for buffer, order in (match.orders if match else {}).items():
                orders.setdefault(buffer, order)
        for loop, leaves in self.nests.items():
            buffer = leaves[0].store.buffer
            if buffer in orders:
                found[loop] = staging(leaves, orders[buffer])
            elif buffer in self.sizes and len(leaves) == 1:
                found[loop] = found[loop] or _staged(leaves[0])
        refused = {buffer for buffer in orders if not self._agreed(buffer, orders, found)}
        refused |= self.elsewhere & set(orders)
        return self.ends | {
            loop: match
            for loop, match in found.items()
            if match and not refused & {self.nests[loop][0].store.buffer, *match.orders}
        }

    def _agreed(self, buffer, orders, found) -> bool:
        return all(
            match is not None and match.orders.get(buffer, orders[buffer]) == orders[buffer]
            for loop, match in found.items()
            if any(buffer in _buffers(leaf.store) for leaf in self.nests[loop])
        )


def _staged(leaf: Leaf) -> Match | None:
    patterns = (clearing, widening, scaling, masking, peaks, codes_on_grid)
    return next(filter(None, (pattern(leaf) for pattern in patterns)), None)


def _leaves(node, loops, around) -> list[Leaf] | None:
    """The stores in `node` if it holds nothing but loops around them; None otherwise."""
    kind = type(node).__name__
    if kind == "For":
        return _leaves(node.body, (*loops, node), around)
    if kind == "BufferStore":
        return [Leaf(loops, node, around)]
    if kind != "SeqStmt":
        return None
    parts = [_leaves(child, loops, around) for child in node.seq]
    return None if None in parts else [leaf for part in parts for leaf in part]


def _touched(node) -> set:
    """Buffers that a statement, and those in it, load or store."""
    if isinstance(node, tirx.BufferStore):
        return _buffers(node)
    parts = [getattr(node, name, None) for name in ("then_case", "else_case", "body")]
    found = {b for part in (*getattr(node, "seq", ()), *parts) if part for b in _touched(part)}
    heads = [getattr(node, name, None) for name in ("condition", "value")]
    return found.union(*(_loaded(head) for head in heads if isinstance(head, tvm.ir.Expr)))


def _buffers(store) -> set:
    return {store.buffer} | _loaded(store.value)


def _loaded(expression) -> set:
    found = set()
    waiting = [expression]
    while waiting:
        expr = waiting.pop()
        if type(expr).__name__ == "TensorLoad":
            found.add(expr.source)
        waiting.extend(operands(expr))
    return found


def _rewritten(node, matches):
    """`node` with calls instead of the nests, and the scratch that they need."""
    orders = {b: order for match in matches.values() for b, order in match.orders.items()}
    if node in matches:
        calls = matches[node].calls
        return calls[0] if len(calls) == 1 else tirx.SeqStmt(calls)
    kind = type(node).__name__
    if kind == "SeqStmt":
        return tirx.SeqStmt([_rewritten(child, matches) for child in node.seq])
    if kind == "For":
        body = _rewritten(node.body, matches)
        return tirx.For(node.loop_var, node.min, node.extent, node.kind, body)
    if kind == "AllocBuffer" and isinstance(orders.get(node.buffer), Taps | PhaseTaps):
        return tirx.AllocBuffer(node.buffer, {ELEMENTS: orders[node.buffer].elements})
    return node
