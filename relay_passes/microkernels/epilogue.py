"""odt_epilogue.h: how kernels end, from accumulators to codes."""

from __future__ import annotations

from tvm import sym

from ..tir import tirx
from .formula import Solution
from .nest import check
from .record import records

HEADER = "odt_epilogue.h"
_RUNS = (2, 4, 8, 16, 32)  # booleans that one byte, or whole bytes, hold


def _whole_bytes(solution: Solution) -> None:
    run, stride = solution.numbers["Q"], solution.numbers["stride"]
    begin = tirx.truncmod(solution.linears["mask"].base, run)
    whole = stride % run == 0 and sym.Analyzer().can_prove_equal(begin, 0)
    check(run not in _RUNS or whole, "its mask begins within a byte")


records(
    HEADER,
    """
results of sums: odt_requantize_tile(\
out, stride, acc, bias, multiplier, shift, step, offset, R, Q)
    out[r*stride + q] = odt_clamp8(odt_requantize_high(\
(int32 acc{r*Q + q} + int32 bias[r*step]), \
int32 multiplier[r*step], int32 shift[r*step], number offset))

results of sums: odt_requantize_tile_masked(\
out, stride, acc, bias, multiplier, shift, step, offset, R, Q, mask, stride)
    code = odt_requantize_high(\
(int32 acc{r*Q + q} + int32 bias[r*step]), \
int32 multiplier[r*step], int32 shift[r*step], number offset); \
out[r*stride + q] = odt_clamp8(int32 code); mask[r*stride + q] = odt_is_int8(int32 code)

results of sums: odt_mask_tile_f32(out, stride, acc, mask, R, Q)
    out[r*stride + q] = select(bool mask[r*stride + q], float32 acc{r*Q + q}, 0)

elements: odt_add_s8(out, a, b, a_multiplier, b_multiplier, offset, shift, I)
    out[i] = odt_clamp8((odt_scaled_sum_narrow(\
int8 a[i], number a_multiplier, int8 b[i], number b_multiplier, number offset) >> number shift))
""",
    odt_requantize_tile_masked={"beside": _whole_bytes},
)
