"""Booleans that a loop stores next to each other, so that they can be written together."""

from __future__ import annotations

from tvm import sym

from relay_passes.tir import tirx

_COUNTS = (2, 4, 8, 16, 32)  # of odt_bits_write


def runs_of_bits(loop: tirx.For) -> list[tuple[tirx.BufferStore, tirx.Expr]]:
    """The boolean stores of each iteration, and where the first iteration stores.

    Iteration i stores at that index plus i, and the index is a multiple of the extent.
    """
    extent = int(loop.extent)
    if extent not in _COUNTS or not _is_zero(loop.min):
        return []
    analyzer, found = sym.Analyzer(), []
    for store in _statements(loop.body):
        if type(store).__name__ != "BufferStore" or str(store.value.ty.dtype) != "bool":
            continue
        base = analyzer.simplify(store.indices[0] - loop.loop_var)
        if not _reads(base, loop.loop_var) and _is_zero(analyzer.simplify(base % extent)):
            found.append((store, base))
    return found


def _statements(body: tirx.Stmt) -> list[tirx.Stmt]:
    """Those that run once an iteration, whatever the data."""
    kind = type(body).__name__
    return [s for child in body.seq for s in _statements(child)] if kind == "SeqStmt" else [body]


def _reads(expression: tirx.Expr, var: tirx.Var) -> bool:
    return any(var.same_as(used) for used in tirx.analysis.undefined_vars(expression))


def _is_zero(expression: tirx.Expr) -> bool:
    return isinstance(expression, tirx.IntImm) and int(expression) == 0
