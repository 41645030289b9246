"""Gradients, shortened together to the norm that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tvm import relax

from ..ops.clipping import add_squares, clip_factor


def clipped(
    emit: Callable[[relax.Expr], relax.Var], gradients: Sequence[relax.Var], limit: relax.Var
) -> list[relax.Var]:
    """`gradients` of all that trains, in the real domain, with a norm of at most `limit`.

    Each needs all others, so that no update can run before the last gradient is known. Squares are
    added from the last gradient to the first, as a backward computes them.
    """
    squares: relax.Expr = relax.const(np.float32(0))
    for gradient in reversed(gradients):
        squares = emit(add_squares(squares, gradient))
    factor = emit(clip_factor(squares, limit))
    return [emit(relax.op.multiply(gradient, factor)) for gradient in gradients]
