"""SelectMicrokernels: which loop nests become which calls, and what stays loops."""

import math

import numpy as np
import pytest
import tvm
from selected_kernels import (
    before_the_end,
    calls,
    placeholder,
    qconv,
    selected,
    statements,
)
from tvm import relax, te

from relay_passes import DefaultSchedule, InPlace, LowerToLoops, SelectMicrokernels
from relay_passes.kernel_attributes import reason_for_plain_loops, workspace_bytes
from relay_passes.microkernels.record import MARK
from relay_passes.ops import channels, convolution, masks
from relay_passes.schedule.tile_sizes import tile_sizes
from relay_passes.tir import Schedule, tirx


def test_a_pointwise_convolution_packs_pixels_and_takes_inner_products():
    kernel = selected(*qconv((1, 48, 16, 16), (96, 48, 1, 1)))
    assert before_the_end(kernel) == [
        ("odt_pack", 256, 3, 64, 48),  # planes of 256, zero point 3, 64 pixels of 48 channels
        ("odt_pack_rows", 48, 0, 4, 48),  # weights of 4 outputs
        ("odt_dot_columns", 64, 4, 48),  # 64 pixels by 4 outputs
    ]


@pytest.mark.parametrize("height, width, rows", [(7, 7, 49), (6, 6, 36), (1, 1, 1), (5, 1, 5)])
def test_tiles_of_any_map_are_whole(height, width, rows):
    kernel = selected(*qconv((1, 5, height, width), (3, 5, 1, 1)))
    (_, _, _, packed, depth), *_, (_, *sizes) = before_the_end(kernel)
    assert (packed, depth) == (rows, 5) and rows in sizes


def test_a_window_is_unrolled_and_its_columns_meet_all_channels():
    kernel = selected(*qconv((1, 8, 8, 8), (16, 8, 3, 3), padding=(1, 1, 1, 1)))
    assert before_the_end(kernel) == [("odt_dot", 72, 4, 72, 0, 72, 8)]
    text = kernel.script()
    assert text.count('"odt_column"') == 9  # one statement a tap


def test_a_depthwise_convolution_widens_its_plane():
    weight = (6, 1, 3, 3)
    kernel = selected(*qconv((1, 6, 9, 8), weight, padding=(1, 1, 1, 1), groups=6))
    assert before_the_end(kernel) == [
        ("odt_widen_plane", 9, 8, 1, 1, 1, 1, 3),
        ("odt_taps", 3, 3),
        ("odt_window", 10, 3, 3, 1, 9, 8),
    ]


def test_a_strided_depthwise_convolution_stages_no_more_than_it_reads():
    weight = (6, 1, 3, 3)
    padding = {"strides": (2, 2), "padding": (1, 1, 1, 1)}
    kernel = selected(*qconv((1, 6, 8, 8), weight, groups=6, **padding))
    assert before_the_end(kernel) == [
        ("odt_widen_plane", 8, 8, 1, 1, 0, 0, 3),  # the last border is never read
        ("odt_taps", 3, 3),
        ("odt_window", 10, 3, 3, 2, 4, 4),
    ]


def test_a_dilated_depthwise_convolution_stays_loops():
    weight = (6, 1, 3, 3)
    kernel = selected(*qconv((1, 6, 9, 9), weight, dilation=(2, 2), groups=6))
    assert [name for name, *_ in before_the_end(kernel)] == ["odt_widen_plane"]
    assert "odt_taps" not in kernel.script()
    assert reason_for_plain_loops(kernel) == "odt_window has no dilation"


def test_weights_of_two_arrays_are_put_together_once():
    trained, frozen = placeholder("t", 8, 6, 1, 1), placeholder("f", 8, 10, 1, 1)
    merged = channels._merge({"axis": 1, "ranges": [4, 10]}, trained, frozen)
    x, _, *rest = qconv((1, 16, 4, 4), merged)
    kernel = selected(x, trained, frozen, *rest)
    assert before_the_end(kernel) == [
        ("odt_pack", 16, 3, 16, 16),
        ("odt_dot", 16, 16, 16, 0, 16, 4),  # all pixels: the weights are copied no second time
    ]
    copies = [s for s in statements(kernel.body) if "merged" in str(getattr(s, "buffer", ""))]
    assert len(copies) == 1 + 3  # the allocation; before, among and behind the trained channels
    assert "if" not in kernel.script()


@pytest.mark.parametrize(
    "weight, groups, tile",
    [
        ((16, 8, 1, 1), 1, (64, 1, 3, 4, 32)),  # rows 64 apart, a channel each; 2 * 1 + 1; 4 x 32
        ((8, 1, 3, 3), 8, (8, 0, 3, 8, 8)),  # one channel
    ],
)
def test_codes_are_made_of_a_tile_at_once(weight, groups, tile):
    padding = (weight[2] // 2,) * 4
    kernel = selected(*qconv((1, 8, 8, 8), weight, padding=padding, groups=groups))
    assert calls(kernel)[-1] == ("odt_requantize_tile", *tile)


GEOMETRY = {"strides": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "groups": 1}


def test_a_float_gradient_of_the_data_widens_weights_for_a_tile():
    adjoint = placeholder("d", 1, 24, 8, 8, dtype="float32")
    codes, scale = placeholder("w", 24, 96, 1, 1), placeholder("s", 24, dtype="float32")
    weight = te.compute(codes.shape, lambda *i: codes(*i).astype("float32") * scale[i[0]], "w_real")
    result = convolution._input_grad({**GEOMETRY, "shape": [1, 96, 8, 8]}, adjoint, weight)
    assert calls(selected(adjoint, codes, scale, result)) == [
        ("odt_scale_columns_f32", 96, 4, 24),
        ("odt_dot_f32", 64, 64, 4, 24),
    ]


def test_a_float_gradient_of_a_weight():
    adjoint = placeholder("d", 1, 8, 4, 4, dtype="float32")
    data = placeholder("x", 1, 16, 4, 4, dtype="float32")
    attrs = {**GEOMETRY, "shape": [8, 16, 1, 1], "rows": [0, 8]}
    result = convolution._weight_grad(attrs, adjoint, data)
    ((name, stride, rows, outputs, depth),) = calls(selected(adjoint, data, result))
    assert (name, stride, outputs, depth) == ("odt_dot_f32", rows, 4, 16) and 16 % rows == 0


def test_a_depthwise_float_gradient_of_the_data():
    adjoint = placeholder("d", 1, 6, 8, 8, dtype="float32")
    weight = placeholder("w", 6, 1, 3, 3, dtype="float32")
    attrs = {**GEOMETRY, "padding": [1, 1, 1, 1], "groups": 6, "shape": [1, 6, 8, 8]}
    result = convolution._input_grad(attrs, adjoint, weight)
    assert calls(selected(adjoint, weight, result)) == [("odt_window_f32", 10, 3, 3, 1, 8, 8)]


WORK = {  # multiply-accumulates of a call, from its sizes
    "odt_dot": lambda _stride, rows, _depth, begin, end, outputs: rows * (end - begin) * outputs,
    "odt_dot_columns": lambda rows, outputs, depth: rows * outputs * depth,
    "odt_window": lambda _pitch, kh, kw, _stride, rows, count: kh * kw * rows * count,
}


@pytest.mark.parametrize(
    "data, weight, options",
    [
        ((1, 6, 9, 8), (4, 6, 1, 1), {}),
        ((1, 6, 9, 8), (4, 6, 3, 3), {"padding": (1, 1, 1, 1)}),
        ((1, 6, 9, 8), (6, 1, 3, 3), {"padding": (1, 1, 1, 1), "groups": 6}),
        ((1, 6, 1, 1), (10, 6, 1, 1), {}),
    ],
)
def test_calls_count_the_same_work_as_loops(data, weight, options):
    *tensors, result = qconv(data, weight, **options)
    kernel = selected(*tensors, result)

    def work(node, times) -> int:
        kind = type(node).__name__
        if kind == "SeqStmt":
            return sum(work(child, times) for child in node.seq)
        if kind == "For":
            return work(node.body, times * int(node.extent))
        if not isinstance(node, tirx.Evaluate):
            return 0
        name, *sizes = (each for each in node.value.args if not isinstance(each, tvm.ir.Call))
        return times * WORK.get(str(name.value), lambda *_: 0)(*map(int, sizes))

    expected = math.prod(int(n) for n in result.shape) * math.prod(weight[1:])
    assert work(kernel.body, 1) == expected


def marked_loops(tensors, **marks) -> tvm.IRModule:
    """Loops of a kernel whose blocks are annotated by hand."""
    schedule = Schedule(tvm.IRModule({"main": te.create_prim_func(tensors)}))
    schedule.decompose_reduction(schedule.get_sblock("acc"), schedule.get_loops("acc")[0])
    for block, name in marks.items():
        schedule.annotate(schedule.get_loops(block)[0], MARK, name)
    return tvm.transform.Sequential([LowerToLoops(), InPlace()])(schedule.mod)


def product_of(columns, w):
    k = te.reduce_axis((0, 16), "k")
    return te.compute(
        (4, 4),
        lambda o, p: te.sum(columns[p, k].astype("int32") * w[o, k].astype("int32"), axis=k),
        name="acc",
    )


@pytest.mark.parametrize("shared", [False, True])
def test_scratch_that_something_else_reads_too_keeps_its_order(shared):
    """All nests around a buffer agree on its order, or all of them stay loops."""
    x, w = placeholder("x", 16, 4), placeholder("w", 4, 16)
    columns = te.compute((4, 16), lambda p, k: x[k, p].astype("int16"), name="columns")
    product = product_of(columns, w)

    def element(o, p):
        return product[o, p] + columns[p, o] if shared else product[o, p] + 1

    result = te.compute((4, 4), element, name="result")
    module = marked_loops([x, w, result], columns="odt_pack", acc_update="odt_dot")
    kernel = SelectMicrokernels()(module)["main"]
    if shared:
        assert calls(kernel) == [] and MARK not in kernel.script()
        assert reason_for_plain_loops(kernel) == "scratch of microkernels is used by loops, too"
    else:
        assert calls(kernel) == [("odt_pack", 4, 0, 4, 16), ("odt_dot", 16, 4, 16, 0, 16, 4)]
        assert reason_for_plain_loops(kernel) is None


@pytest.mark.parametrize(
    "marks, reason",
    [
        (
            {"columns": "odt_pack", "acc_update": "odt_dot_f32"},
            "odt_dot_f32: it would compute (own + (int16 * int8))",
        ),
        (
            {"columns": "odt_pack_rows", "acc_update": "odt_dot"},
            "odt_pack_rows: its loop pixel is along no axis",
        ),
        ({"columns": "odt_pack"}, "odt_pack: no microkernel reads what it fills"),
        ({"acc_update": "odt_dot"}, "scratch of microkernels is used by loops, too"),
        ({"acc_init": "odt_dot"}, "odt_dot: it would compute number"),
        ({"result": "odt_add_s8"}, "odt_add_s8: it would compute"),
    ],
)
def test_where_one_check_fails_all_stays_loops_and_says_why(marks, reason):
    x, w = placeholder("x", 16, 4), placeholder("w", 4, 16)
    columns = te.compute((4, 16), lambda p, k: x[k, p].astype("int16"), name="columns")
    product = product_of(columns, w)
    result = te.compute((4, 4), lambda o, p: product[o, p] * 2, name="result")
    kernel = SelectMicrokernels()(marked_loops([x, w, result], **marks))["main"]
    assert reason_for_plain_loops(kernel).startswith(reason)
    plain = SelectMicrokernels()(marked_loops([x, w, result]))["main"]
    assert reason_for_plain_loops(plain) is None
    tvm.ir.assert_structural_equal(kernel.without_attr("odt.plain_loops"), plain)


def test_what_is_not_annotated_is_left_alone():
    *tensors, result = qconv((1, 8, 8, 8), (16, 8, 1, 1))
    module = tvm.IRModule({"main": te.create_prim_func([*tensors, result])})
    schedule = Schedule(module)
    for stage in ("columns", "widened", "code"):
        if stage in module.script():
            schedule.compute_inline(stage)
    loops = tvm.transform.Sequential([LowerToLoops(), InPlace()])(schedule.mod)
    tvm.ir.assert_structural_equal(SelectMicrokernels()(loops), loops)


def annotations(*tensors) -> list[str]:
    """What a schedule says its nests are for, in their order."""
    module = tvm.IRModule({"main": te.create_prim_func(tensors)})
    found = []

    def visit(node):
        if isinstance(node, tirx.AttrStmt) and node.attr_key == MARK:
            found.append(str(node.value.value))
        for child in (*getattr(node, "seq", ()), getattr(node, "body", None)):
            if child is not None:
                visit(child)

    visit(LowerToLoops()(DefaultSchedule()(module))["main"].body)
    return found


def test_a_schedule_says_what_each_nest_is_for():
    pointwise = qconv((1, 48, 16, 16), (96, 48, 1, 1))
    assert annotations(*pointwise) == [
        *("odt_pack", "odt_pack_rows", "odt_clear"),
        *("odt_dot_columns", "odt_requantize_tile"),
    ]
    depthwise = qconv((1, 6, 9, 8), (6, 1, 3, 3), padding=(1, 1, 1, 1), groups=6)
    assert annotations(*depthwise) == [
        *("odt_widen_plane", "odt_taps", "odt_clear"),
        *("odt_window", "odt_requantize_tile"),
    ]


@pytest.mark.parametrize(
    "tensors, limit, reason",
    [
        (
            lambda: qconv((1, 6, 8, 8), (6, 1, 3, 3), strides=(1, 2), groups=6),
            *(None, "odt_window has one stride, and no dilation"),
        ),
        (
            lambda: qconv((1, 6, 8, 8), (6, 1, 1, 3), groups=6),
            *(None, "odt_window has no one-row filters over more rows"),
        ),
        (
            lambda: qconv((1, 16, 16, 16), (16, 4, 1, 1), groups=4),
            *(None, "columns of several groups are staged at once"),
        ),
        (
            lambda: qconv((1, 64, 8, 8), (64, 64, 1, 1)),
            *(100, "not enough scratch: 128 bytes wanted, 100 allowed"),
        ),
        (
            lambda: qconv((1, 6, 8, 8), (6, 1, 3, 3), groups=6),
            *(100, "not enough scratch: 128 bytes wanted, 100 allowed"),
        ),
    ],
)
def test_a_kernel_that_sums_in_plain_loops_says_why(tensors, limit, reason):
    module = tvm.IRModule({"main": te.create_prim_func(tensors())})
    scratch = {} if limit is None else {"main": limit}
    passes = [DefaultSchedule(scratch=scratch), LowerToLoops(), InPlace(), SelectMicrokernels()]
    kernel = tvm.transform.Sequential(passes)(module)["main"]
    assert reason_for_plain_loops(kernel) == reason


def test_a_grouped_weight_gradient_says_that_it_has_no_microkernel():
    adjoint = placeholder("d", 1, 6, 8, 8, dtype="float32")
    data = placeholder("x", 1, 6, 8, 8, dtype="float32")
    attrs = {**GEOMETRY, "padding": [1, 1, 1, 1], "groups": 6, "shape": [6, 1, 3, 3]}
    result = convolution._weight_grad({**attrs, "rows": [0, 6]}, adjoint, data)
    reason = "no microkernel for weight gradients of grouped convolutions"
    assert reason_for_plain_loops(selected(adjoint, data, result)) == reason


def test_what_a_reduction_reads_under_a_mask_is_staged_by_a_microkernel():
    mask = placeholder("m", 1, 6, 8, 8, dtype="bool")
    adjoint, data = (placeholder(name, 1, 6, 8, 8, dtype="float32") for name in "dx")
    attrs = {**GEOMETRY, "padding": [1, 1, 1, 1], "groups": 6, "shape": [6, 1, 3, 3]}
    masked = masks._masked({}, mask, adjoint)
    result = convolution._weight_grad({**attrs, "rows": [0, 6]}, masked, data)
    assert calls(selected(mask, adjoint, data, result)) == [("odt_mask_planes", 8, 8, 8)]


def test_an_operator_without_stages_says_that_it_has_no_microkernel():
    a, b = (placeholder(name, 8, 8, dtype="float32") for name in "ab")
    k = te.reduce_axis((0, 8), "k")
    result = te.compute((8, 8), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="matmul")
    reason = "no microkernel for this operator in float32"
    assert reason_for_plain_loops(selected(a, b, result)) == reason


def test_the_scratch_of_a_kernel_is_counted_again():
    """Taps in the order of a microkernel may take more bytes than the filter."""
    options = {"padding": (2, 2, 2, 2), "groups": 4}
    module = tvm.IRModule(
        {"main": te.create_prim_func(qconv((1, 4, 16, 16), (4, 1, 5, 5), **options))}
    )
    passes = [DefaultSchedule(), LowerToLoops(), InPlace()]
    before = tvm.transform.Sequential(passes)(module)
    after = SelectMicrokernels()(before)
    taps = {"loops": 5 * 5 * 2, "calls": 4 * 5 * 2 * 2}
    aligned = {name: (size + 15) // 16 * 16 if size > 64 else 0 for name, size in taps.items()}
    grown = workspace_bytes(after["main"]) - workspace_bytes(before["main"])
    assert grown == aligned["calls"] - aligned["loops"]


def test_relax_functions_are_left_alone():
    x = relax.Var("x", relax.TensorType((2,), "float32"))
    module = tvm.IRModule({"main": relax.Function([x], x, is_pure=True)})
    tvm.ir.assert_structural_equal(SelectMicrokernels()(module), module)


@pytest.mark.parametrize(
    "extents, most, expected",
    [
        ([64], 16, [1, 2, 4, 8, 16]),
        ([6, 6], 12, [1, 2, 3, 6, 12]),
        ([7, 7], 64, [1, 7, 49]),
        ([13], 4, [1]),
        ([3, 2, 5], 30, [1, 5, 10, 30]),
    ],
)
def test_tiles_are_parts_of_a_loop_with_all_loops_in_it(extents, most, expected):
    assert tile_sizes(extents, most) == expected
    total = int(np.prod(extents))
    assert all(total % size == 0 for size in expected)
