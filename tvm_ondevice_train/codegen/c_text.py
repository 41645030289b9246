"""Pieces of C text."""

from __future__ import annotations

import math
import struct

from ..errors import OdtError


def float_literal(value: float) -> str:
    """The shortest C literal that is this float32 again."""
    single = struct.unpack("f", struct.pack("f", value))[0]
    if math.isinf(single) or math.isnan(single):
        raise OdtError(f"a constant of the model is {single}; only finite numbers can be compiled")
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        if struct.pack("f", float(text)) == struct.pack("f", single):
            break
    return text + ("f" if any(c in text for c in ".e") else ".0f")


def bare(text: str) -> str:
    """Drop the parentheses around a whole expression."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and position < len(text) - 1:
            return text
    return text[1:-1]
