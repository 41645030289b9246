"""Functions of the runtime that compute the intrinsics of TIR, the same bits on every target."""

from __future__ import annotations

import re
from functools import cache

from ..project import runtime_dir

_SAME = {"round": "nearbyint", "rint": "nearbyint"}


def c_function(intrinsic: str) -> str | None:
    """The function of odt_math.h for ``exp``, ``tanh``, ...; None where it has none."""
    name = _SAME.get(intrinsic, intrinsic)
    return f"odt_{name}f" if name in _declared() else None


@cache
def _declared() -> frozenset[str]:
    header = (runtime_dir() / "include" / "odt_math.h").read_text(encoding="utf-8")
    return frozenset(
        re.findall(r"^static inline float odt_(\w+)f\(float x\)", header, re.MULTILINE)
    )
