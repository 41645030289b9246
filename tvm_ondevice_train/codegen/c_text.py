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
