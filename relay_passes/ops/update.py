"""New values of parameters, in place, in the real domain: against a direction (see `Optimizer`).

With s the scale, ``W = s * W_q``: ``W <- W - lr * dL/dW`` is ``W_q <- W_q - lr * (dL/dW) / s``,
which is the paper's quantization-aware scaling (Lin et al. 2022, eq. 4). Codes are rounded
stochastically, without bias, and saturate.
"""

from __future__ import annotations

from tvm import relax, te

from ..graph import shape_of
from ..tir import tirx
from .block_states import flat_index
from .registry import Attributes, call, like_first, register
from .runtime_functions import odt_update_code


def sgd_update(
    parameter: relax.Expr, direction: relax.Expr, learning_rate: relax.Expr
) -> relax.Call:
    """float32: ``parameter - learning_rate * direction``; `learning_rate` is a 0-d tensor."""
    return call("sgd_update", parameter, direction, learning_rate)


def sgd_update_codes(
    codes: relax.Expr,
    direction: relax.Expr,
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
    operands = codes, direction, learning_rate, seed, inverse_scale
    return call("sgd_update_codes", *operands, limit=limit, salt=salt)


def real_value(codes: relax.Expr, scale: relax.Expr) -> relax.Call:
    """float32: each of `codes` times `scale`, a vector along axis 0."""
    return call("real_value", codes, scale)


@register("sgd_update", like_first)
def _update(
    _attrs: Attributes, parameter: te.Tensor, direction: te.Tensor, learning_rate: te.Tensor
) -> te.Tensor:
    return te.compute(
        parameter.shape, lambda *i: parameter(*i) - learning_rate() * direction(*i), name="updated"
    )


@register("real_value", lambda expr: relax.TensorType(shape_of(expr.args[0]), "float32"))
def _real_value(_attrs: Attributes, codes: te.Tensor, scale: te.Tensor) -> te.Tensor:
    return te.compute(
        codes.shape, lambda *i: codes(*i).astype("float32") * scale[i[0]], name="value"
    )


@register("sgd_update_codes", like_first, ("limit", "salt"))
def _update_codes(
    attrs: Attributes,
    codes: te.Tensor,
    direction: te.Tensor,
    learning_rate: te.Tensor,
    seed: te.Tensor,
    inverse_scale: te.Tensor,
) -> te.Tensor:
    shape = [int(n) for n in codes.shape]

    def element(*i: tirx.Var) -> tirx.Expr:
        step = direction(*i) * (learning_rate() * inverse_scale[i[0]])
        new_code = odt_update_code(
            codes(*i).astype("int32"),
            step,
            tirx.const(attrs["limit"], "int32"),
            seed() + tirx.const(attrs["salt"], "uint32"),
            flat_index(i, shape).astype("uint32"),
        )
        return new_code.astype(codes.dtype)

    return te.compute(shape, element, name="updated")
