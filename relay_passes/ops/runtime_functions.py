"""Functions of the C runtime that operators call, each with its formula in TIR.

An operator calls ``odt_clamp8(x)`` and gets a call of the C function of that name, for generated C:
it has instructions that TIR cannot say. TVM's code generators get the formula in its place
(`portable`), which is computed to the same bits for arguments that the C function allows (see
runtime/c/include). A formula repeats its arguments as seldom as it can: nothing is shared in TIR.
"""

from __future__ import annotations

from collections.abc import Callable

import tvm_ffi
from tvm.ir import Call

from ..runtime_call import call_of_runtime, called_function
from ..tir import Scalar, tirx

Formula = Callable[..., tirx.Expr]
FORMULAS: dict[str, Formula] = {}
CALLERS: dict[str, Formula] = {}

_BITS = "uint64"  # of what C computes in uint32: overflow of that is undefined in LLVM
_INFINITY = 0x7F800000  # its bits; of larger magnitudes are NaNs
_TO_INTEGER = 1.5 * 2**23  # added to a small float32, it leaves the integer in the lower bits


def portable(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """`function` with formulas for its calls of the C runtime."""

    def formula(call: Call) -> tirx.Expr:
        name = called_function(call)
        return call if name is None else FORMULAS[name](*call.args[1:]).astype(str(call.ty.dtype))

    return function.with_body(tvm_ffi.structural_map(function.body, [(Call, formula)]))


def _runtime_function(dtype: str) -> Callable[[Formula], Formula]:
    """Enter a formula; its name becomes what calls the C function, whose result is `dtype`."""

    def enter(formula: Formula) -> Formula:
        name = formula.__name__

        def call(*arguments: Scalar | int) -> tirx.Expr:
            return call_of_runtime(dtype, name, *arguments)

        FORMULAS[name], CALLERS[name] = formula, call
        return call

    return enter


# odt_kernels.h: codes


@_runtime_function("int32")
def odt_clamp8(x: tirx.Expr) -> tirx.Expr:
    return tirx.max(tirx.min(x, 127), -128)


@_runtime_function("int32")
def odt_divide_even(total: tirx.Expr, count: tirx.Expr) -> tirx.Expr:
    whole, rest = tirx.truncdiv(total, count), tirx.truncmod(total, count)
    twice = 2 * tirx.Select(rest < 0, -rest, rest)
    tie = tirx.all(twice == count, tirx.truncmod(whole, 2) != 0)
    away = tirx.any(twice > count, tie).astype("int32")
    return tirx.Select(rest < 0, whole - away, whole + away)


@_runtime_function("int32")
def odt_divide_away(total: tirx.Expr, count: tirx.Expr) -> tirx.Expr:
    half = tirx.truncdiv(count, 2)
    return tirx.truncdiv(tirx.Select(total < 0, total - half, total + half), count)


@_runtime_function("bool")
def odt_is_int8(x: tirx.Expr) -> tirx.Expr:
    return tirx.all(x >= -128, x <= 127)


@_runtime_function("int32")
def odt_update_code(
    code: tirx.Expr, step: tirx.Expr, limit: tirx.Expr, seed: tirx.Expr, index: tirx.Expr
) -> tirx.Expr:
    rounded = _rounded_randomly(step, _random(seed, index)).astype("int64")
    return tirx.max(tirx.min(code.astype("int64") - rounded, limit), -limit - 1).astype("int32")


def _random(seed: tirx.Expr, index: tirx.Expr) -> tirx.Expr:
    x = _word(seed.astype(_BITS) + index.astype(_BITS) * _bits(0x9E3779B9))
    x = _word((x ^ x >> _bits(16)) * _bits(0x7FEB352D))
    x = _word((x ^ x >> _bits(15)) * _bits(0x846CA68B))
    return x ^ x >> _bits(16)


def _rounded_randomly(x: tirx.Expr, random: tirx.Expr) -> tirx.Expr:
    magnitude = tirx.Select(_magnitude(x) < _bits(_INFINITY), _float(_magnitude(x)), _real(0))
    kept = tirx.min(magnitude, _real(2**30))
    whole = kept.astype("int32")
    places = ((kept - whole.astype("float32")) * _real(2**32)).astype(_BITS)
    rounded = whole + (random < places).astype("int32")
    return tirx.Select(_bits_of(x) >> _bits(31) == _bits(0), rounded, -rounded)


# odt_kernels.h: floats of 16 and 8 bits


@_runtime_function("uint16")
def odt_bfloat16_of(x: tirx.Expr) -> tirx.Expr:
    bits = _bits_of(x)
    return bits + _bits(0x7FFF) + (bits >> _bits(16) & _bits(1)) >> _bits(16)


@_runtime_function("float32")
def odt_float_of_bfloat16(bits: tirx.Expr) -> tirx.Expr:
    return _float(bits.astype(_BITS) << _bits(16))


@_runtime_function("uint8")
def odt_float8_of(x: tirx.Expr) -> tirx.Expr:
    magnitude = _magnitude(x)
    rounded = magnitude + _bits(0xFFFFF) + (magnitude >> _bits(21) & _bits(1)) >> _bits(21)
    code = tirx.min(rounded, _bits(396 + 127))  # 396: of the least exponent
    code = tirx.Select(code < _bits(396 + 4), _bits(0), code - _bits(396))
    code = tirx.Select(magnitude >= _bits(_INFINITY), _bits(1), code)
    return _bits_of(x) >> _bits(24) & _bits(0x80) | code


@_runtime_function("float32")
def odt_float_of_float8(bits: tirx.Expr) -> tirx.Expr:
    code = bits.astype(_BITS) & _bits(0x7F)
    no_number = tirx.Select(code == _bits(0), _bits(0), _bits(0x7FC00000))
    magnitude = tirx.Select(code > _bits(1), code + _bits(396) << _bits(21), no_number)
    return _float((bits.astype(_BITS) & _bits(0x80)) << _bits(24) | magnitude)


# odt_requantize.h


@_runtime_function("int64")
def odt_shift_round(value: tirx.Expr, shift: tirx.Expr) -> tirx.Expr:
    one, by = tirx.const(1, "int64"), shift.astype("int64")
    biased = value + (one << by - one)
    is_tie = biased & (one << by) - one == tirx.const(0, "int64")
    return biased >> by & tirx.Select(is_tie, tirx.const(-2, "int64"), tirx.const(-1, "int64"))


@_runtime_function("int32")
def odt_narrow(value: tirx.Expr) -> tirx.Expr:
    limit = tirx.const(2**30, "int64")
    return tirx.max(tirx.min(value, limit), -limit)


@_runtime_function("int32")
def odt_requantize(acc: tirx.Expr, multiplier: tirx.Expr, shift: tirx.Expr) -> tirx.Expr:
    return FORMULAS["odt_shift_round"](_product(acc, multiplier), shift)


@_runtime_function("int32")
def odt_requantize_wide(acc: tirx.Expr, multiplier: tirx.Expr, shift: tirx.Expr) -> tirx.Expr:
    return FORMULAS["odt_narrow"](FORMULAS["odt_shift_round"](_product(acc, multiplier), shift))


@_runtime_function("int32")
def odt_requantize_high(
    acc: tirx.Expr, multiplier: tirx.Expr, shift: tirx.Expr, offset: tirx.Expr
) -> tirx.Expr:
    high = (_product(acc, multiplier) >> tirx.const(32, "int64")).astype("int32")
    return (high >> shift) + offset >> tirx.const(1, "int32")


@_runtime_function("int64")
def odt_scaled_sum(
    a: tirx.Expr, a_multiplier: tirx.Expr, b: tirx.Expr, b_multiplier: tirx.Expr
) -> tirx.Expr:
    return _product(a, a_multiplier) + _product(b, b_multiplier)


@_runtime_function("int32")
def odt_scaled_sum_narrow(
    a: tirx.Expr,
    a_multiplier: tirx.Expr,
    b: tirx.Expr,
    b_multiplier: tirx.Expr,
    offset: tirx.Expr,
) -> tirx.Expr:
    return offset + a * a_multiplier + b * b_multiplier


def _product(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    return a.astype("int64") * b.astype("int64")


# odt_block_float.h


@_runtime_function("float32")
def odt_peak(peak: tirx.Expr, x: tirx.Expr) -> tirx.Expr:
    return tirx.Select(_magnitude(x) > _bits_of(peak), _float(_magnitude(x)), peak)


@_runtime_function("float32")
def odt_block_factor(peak: tirx.Expr, limit: tirx.Expr) -> tirx.Expr:
    return tirx.Select(peak >= _real(1e-30), limit / peak, _real(0))


@_runtime_function("int16")
def odt_block_code(x: tirx.Expr, factor: tirx.Expr) -> tirx.Expr:
    return tirx.reinterpret("int32", x * factor + _real(_TO_INTEGER))


@_runtime_function("float32")
def odt_real(acc: tirx.Expr, unit: tirx.Expr) -> tirx.Expr:
    return acc.astype("float32") * unit


# the bits of a float


def _bits(number: int) -> tirx.Expr:
    return tirx.const(number, _BITS)


def _real(number: float) -> tirx.Expr:
    return tirx.const(number, "float32")


def _word(x: tirx.Expr) -> tirx.Expr:
    """`x` modulo 2^32, as C computes in uint32."""
    return x & _bits(0xFFFFFFFF)


def _bits_of(x: tirx.Expr) -> tirx.Expr:
    return tirx.reinterpret("uint32", x).astype(_BITS)


def _magnitude(x: tirx.Expr) -> tirx.Expr:
    """The bits of x without its sign."""
    return _bits_of(x) & _bits(0x7FFFFFFF)


def _float(bits: tirx.Expr) -> tirx.Expr:
    return tirx.reinterpret("float32", bits.astype("uint32"))
