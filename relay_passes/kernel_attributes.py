"""What passes say of a kernel, as attributes of its PrimFunc."""

from __future__ import annotations

from typing import Any

from .tir import tirx

MACS = "odt.macs"
COSTLY = "odt.costly"  # no reader should compute it anew
IN_PLACE = "odt.in_place"
READS = "odt.reads"
WORKSPACE = "odt.workspace_bytes"
OFFSETS = "odt.workspace_offsets"
PLAIN_LOOPS = "odt.plain_loops"
OPERATORS = "odt.operators"  # of which the kernel is made, in their order
OPERANDS = "odt.operands"  # what each of them is to the operator that reads it
PLAIN_NAMES = ("data", "left", "right")  # of operands that operators give no role


def macs(function: tirx.PrimFunc) -> int:
    """Multiply-accumulates of one call of the kernel, as its operators' records say."""
    return int((function.attrs or {}).get(MACS, 0))


def operator_names(function: tirx.PrimFunc) -> tuple[str, ...]:
    """The operators that the kernel is made of; none if nothing says so."""
    return tuple(str(name) for name in (function.attrs or {}).get(OPERATORS, ()))


def operand_names(function: tirx.PrimFunc, count: int) -> tuple[str, ...]:
    """What the first `count` parameters are; their own names if nothing says so."""
    names = (function.attrs or {}).get(OPERANDS, ())
    return tuple(str(name) for name in names) or tuple(p.name for p in function.params[:count])


def is_cheap(function: tirx.PrimFunc) -> bool:
    """Whether recomputing an element of the kernel's result costs less than a load."""
    return not (function.attrs or {}).get(COSTLY, 0)


def in_place_pairs(function: tirx.PrimFunc) -> tuple[tuple[int, int], ...]:
    """(input parameter, output parameter) that one buffer can hold, by position."""
    return tuple((int(a), int(b)) for a, b in _attribute(function, IN_PLACE))


def parameters_read(function: tirx.PrimFunc) -> frozenset[int]:
    """Positions of the parameters that the kernel loads; of others only the shape matters."""
    return frozenset(int(i) for i in _attribute(function, READS))


def workspace_bytes(function: tirx.PrimFunc) -> int:
    """Bytes of scratch that the kernel wants from its caller."""
    return int(_attribute(function, WORKSPACE))


def workspace_offsets(function: tirx.PrimFunc) -> list[int]:
    """Offsets in it of the local buffers that are scratch, in the order of the program."""
    return [int(offset) for offset in _attribute(function, OFFSETS)]


def reason_for_plain_loops(function: tirx.PrimFunc) -> str | None:
    """Why a kernel multiplies and accumulates outside of microkernels; None if it does not."""
    reason = (function.attrs or {}).get(PLAIN_LOOPS)
    return None if reason is None else str(reason)


def _attribute(function: tirx.PrimFunc, name: str) -> Any:
    if function.attrs is None or name not in function.attrs:
        raise ValueError(f"a kernel has no attribute {name}; run LowerToLoops and InPlace first.")
    return function.attrs[name]
