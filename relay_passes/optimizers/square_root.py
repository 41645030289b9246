"""The square root, of whatever an optimizer computes with."""

from __future__ import annotations

from typing import Any


def square_root(x: Any) -> Any:
    """Of a number, an array, or an element of TE."""
    if isinstance(x, (int, float)) or hasattr(x, "__array__"):
        return x**0.5
    from tvm import te  # here: whoever has an element has loaded it

    return te.sqrt(x)
