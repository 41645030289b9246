"""odt_float.h: float32 sums of products, and weights for them."""

from __future__ import annotations

from .nest import check
from .record import COLUMN_SUMS, PLANE_SUMS, PLANES, record
from .window import as_window, window_macs

HEADER = "odt_float.h"
MAX_OUTPUTS = 4  # of odt_dot_f32


def _few_outputs(solution) -> None:
    numbers = solution.numbers
    check(
        numbers["O"] <= MAX_OUTPUTS and numbers["stride"] >= numbers["P"], "its tile is too large"
    )


record(
    "odt_dot_f32(acc, a, stride, b, P, O, K)",
    *(HEADER, COLUMN_SUMS),
    "acc[o*P + p] = (own + (float32 a[k*stride + p] * float32 b{k*O + o}))",
    beside=_few_outputs,
    macs=lambda n: n.P * n.O * n.K,
)
record(
    "odt_window_f32(acc, plane, pitch, taps, height, width, stride, rows, columns)",
    *(HEADER, PLANE_SUMS),
    "acc{i} = (own + (float32 plane * float32 taps{k}))",
    beside=as_window,
    macs=window_macs,
)
record(
    "odt_scale_columns_f32(filters, w, stride, scale, J, K)",
    *(HEADER, PLANES),
    "filters{k*J + j} = (int8 w[k*stride + j] * float32 scale[k])",
)
