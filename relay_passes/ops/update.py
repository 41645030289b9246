"""Stochastic gradient descent, in place, in the real domain.

With s the scale, ``W = s * W_q``: ``W <- W - lr * dL/dW`` is ``W_q <- W_q - lr * (dL/dW) / s``,
which is the paper's quantization-aware scaling (Lin et al. 2022, eq. 4). Codes are rounded
stochastically, without bias, and saturate.
"""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax, te

from ..tir import tirx
from .registry import Attributes, call, like_first, register


def sgd_update(
    parameter: relax.Expr, gradient: relax.Expr, learning_rate: relax.Expr
) -> relax.Call:
    """float32: ``parameter - learning_rate * gradient``; `learning_rate` is a 0-d tensor."""
    return call("sgd_update", parameter, gradient, learning_rate)


def sgd_update_codes(
    codes: relax.Expr,
    gradient: relax.Expr,
    learning_rate: relax.Expr,
    seed: relax.Expr,
    inverse_scale: relax.Expr,
    *,
    limit: int,
    salt: int,
) -> relax.Call:
    """Codes of the updated parameter.

    `inverse_scale` is a vector along axis 0 (1 / s, 0 where s is 0). `seed` is a 0-d uint32
    tensor, different at every step; with `salt`, one number a parameter, and the element's index
    it decides the rounding, so that no order of execution changes it. Codes stay
    within ``-limit - 1 ... limit``.
    """
    operands = codes, gradient, learning_rate, seed, inverse_scale
    return call("sgd_update_codes", *operands, limit=limit, salt=salt)


@register("sgd_update", like_first)
def _update(
    _attrs: Attributes, parameter: te.Tensor, gradient: te.Tensor, learning_rate: te.Tensor
) -> te.Tensor:
    return te.compute(
        parameter.shape, lambda *i: parameter(*i) - learning_rate() * gradient(*i), name="updated"
    )


@register("sgd_update_codes", like_first)
def _update_codes(
    attrs: Attributes,
    codes: te.Tensor,
    gradient: te.Tensor,
    learning_rate: te.Tensor,
    seed: te.Tensor,
    inverse_scale: te.Tensor,
) -> te.Tensor:
    shape = [int(n) for n in codes.shape]

    def flat(index: Sequence[tirx.Var]) -> tirx.Expr:
        position = index[0]
        for axis, extent in zip(index[1:], shape[1:], strict=True):
            position = position * extent + axis
        return position

    def element(*i: tirx.Var) -> tirx.Expr:
        step = gradient(*i) * (learning_rate() * inverse_scale[i[0]])
        new_code = tirx.call_pure_extern(
            "int32",
            "odt_update_code",
            codes(*i).astype("int32"),
            step,
            tirx.const(attrs["limit"], "int32"),
            seed() + tirx.const(attrs["salt"], "uint32"),
            flat(i).astype("uint32"),
        )
        return new_code.astype(codes.dtype)

    return te.compute(shape, element, name="updated")
