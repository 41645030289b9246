"""The factor that shortens all gradients together to the norm that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tvm import relax

from ..ops.clipping import add_squares, clip_factor


def clipping_factor(
    emit: Callable[[relax.Expr], relax.Var],
    gradients: Sequence[relax.Var],
    factor: relax.Expr,
    limit: relax.Var,
) -> relax.Var:
    """`factor`, or less where `gradients` times it have a norm above `limit`; all 0-d but these.

    It needs all `gradients` of what trains, in the real domain, so that no update by it can run
    before the last is known. Squares are added from the last to the first, as a backward computes.
    """
    squares: relax.Expr = relax.const(np.float32(0))
    for gradient in reversed(gradients):
        squares = emit(add_squares(squares, gradient))
    return emit(clip_factor(squares, factor, limit))
