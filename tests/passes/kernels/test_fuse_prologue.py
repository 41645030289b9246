"""Which producers `FusePrologue` recomputes inside their readers."""

import numpy as np
import pytest
import tiny
import tvm
from tvm import relax

from relay_passes import FusePrologue, LegalizeOps, lowering
from relay_passes.ops.masks import masked, positive_mask

DATA = ((1, 2, 4, 4), "int8")
WEIGHT = ((2, 2, 3, 3), "float32")


def legalized(parameters, body):
    passes = [LegalizeOps(), relax.transform.AnnotateTIROpPattern()]
    return tvm.transform.Sequential(passes)(tiny.module(parameters, body))


def calls(module) -> list[tuple[str, list[str]]]:
    """Kernel and names of its operands, in execution order."""
    bindings = module["main"].body.blocks[0].bindings
    found = [b.value for b in bindings if isinstance(b.value, relax.Call)]
    return [
        (c.args[0].name_hint, [getattr(f, "name", "") for f in c.args[1].fields]) for c in found
    ]


def two_readers(emit, x, w):
    real = emit(tiny.dequantize(x, 0.5))
    convolved = emit(relax.op.nn.conv2d(real, w, padding=1))
    return [convolved, emit(relax.op.nn.max_pool2d(real))]


def chain(emit, x, w):
    moved = emit(relax.op.permute_dims(emit(tiny.dequantize(x, 0.5)), [0, 1, 3, 2]))
    return emit(relax.op.nn.conv2d(moved, w, padding=1))


def broadcast(emit, x, w):
    wide = emit(relax.op.broadcast_to(w, (2, 2, 3, 3)))
    return emit(relax.op.multiply(wide, wide))


@pytest.mark.parametrize(
    "body, expected",
    [
        (
            two_readers,
            [("fused_dequantize_conv2d", ["x", "w"]), ("fused_dequantize_max_pool2d", ["x"])],
        ),
        (chain, [("fused_dequantize_transpose_conv2d", ["x", "w"])]),
    ],
)
def test_expanding_producers_are_recomputed_in_every_reader(body, expected):
    fused = FusePrologue()(legalized({"x": DATA, "w": WEIGHT}, body))
    assert calls(fused) == expected


def test_an_operand_broadcast_for_one_reader_is_never_stored():
    fused = FusePrologue()(legalized({"x": DATA, "w": ((2, 1, 1, 1), "float32")}, broadcast))
    assert calls(fused) == [("fused_broadcast_to_multiply", ["w"])]


def expensive(emit, x, w):
    return emit(relax.op.nn.conv2d(emit(relax.op.exp(w)), emit(relax.op.exp(w))))


def reduction(emit, x, w):
    pooled = emit(relax.op.nn.conv2d(w, w))
    return emit(relax.op.exp(pooled))


def result_only(emit, x, w):
    return emit(tiny.dequantize(x, 0.5))


@pytest.mark.parametrize("body", [reduction, result_only, expensive])
def test_reductions_expensive_maths_and_results_are_left_alone(body):
    module = legalized({"x": DATA, "w": WEIGHT}, body)
    fused = FusePrologue()(module)
    assert calls(fused) == calls(module)


def test_a_producer_that_shrinks_its_operands_is_stored():
    """Two float32 operands for one float32 result: recomputing would keep both alive."""
    parameters = {"x": WEIGHT, "w": WEIGHT}

    def body(emit, x, w):
        return emit(relax.op.nn.conv2d(emit(relax.op.add(x, w)), w))

    module = legalized(parameters, body)
    assert calls(FusePrologue()(module)) == calls(module)


IMAGE, SQUARE = (1, 2, 4, 4), (2, 2, 1, 1)


# -- what can take its operand's place: a ReLU of what a kernel stores -----------------------------


def activated(reader):
    """``reader(emit, relu(y), w)`` of a sum y that nobody else reads."""

    def body(emit, x, w):
        y = emit(relax.op.nn.conv2d(x, w))
        return reader(emit, emit(relax.op.nn.relu(y)), w)

    body.__name__ = reader.__name__
    return body


@activated
def read_by_a_convolution(emit, y, w):
    return emit(relax.op.nn.conv2d(y, w))


@activated
def read_by_overlapping_windows(emit, y, _w):
    return emit(relax.op.nn.max_pool2d(y, 3, 1))


@activated
def read_by_one_that_loads_once_and_one_that_does_not(emit, y, w):
    return [emit(relax.op.mean(y, [2, 3])), emit(relax.op.nn.conv2d(y, w))]


@activated
def read_by_a_convolution_of_what_is_moved(emit, y, w):
    """The transpose is recomputed, and would load each element as often as the convolution does."""
    return emit(relax.op.nn.conv2d(emit(relax.op.permute_dims(y, [0, 1, 3, 2])), w))


@activated
def read_by_a_mean(emit, y, _w):
    return emit(relax.op.mean(y, [2, 3]))


@activated
def read_by_separate_windows(emit, y, _w):
    return emit(relax.op.nn.max_pool2d(y, 2, 2))


@activated
def read_by_two_that_load_once(emit, y, _w):
    return [emit(relax.op.mean(y, [2, 3])), emit(relax.op.nn.max_pool2d(y, 2, 2))]


def of_an_activation_that_another_reads(emit, x, w):
    """Stored beside it, it would be one tensor more."""
    y = emit(relax.op.nn.conv2d(x, w))
    again = emit(relax.op.nn.conv2d(emit(relax.op.nn.relu(y)), w))
    return emit(relax.op.add(y, again))


def of_the_input(emit, x, w):
    """No kernel stores it: its bytes are not the step's."""
    return emit(relax.op.nn.conv2d(emit(relax.op.nn.relu(x)), w))


def of_decoded_codes(emit, x, w):
    """Four times the bytes of the codes."""
    y = emit(tiny.dequantize(emit(tiny.quantize(emit(relax.op.nn.conv2d(x, w)), 0.5)), 0.5))
    return emit(relax.op.nn.conv2d(emit(relax.op.nn.relu(y)), w))


@pytest.mark.parametrize(
    "body, stored",
    [
        (read_by_a_convolution, True),
        (read_by_overlapping_windows, True),
        (read_by_one_that_loads_once_and_one_that_does_not, True),
        (read_by_a_convolution_of_what_is_moved, True),
        (read_by_a_mean, False),
        (read_by_separate_windows, False),
        (read_by_two_that_load_once, False),
        (of_an_activation_that_another_reads, False),
        (of_the_input, False),
        (of_decoded_codes, False),
    ],
)
def test_what_costs_no_memory_is_stored_where_a_reader_loads_it_again_and_again(body, stored):
    types = {"x": (IMAGE, "float32"), "w": (SQUARE, "float32")}
    names = [name for name, _ in calls(FusePrologue()(legalized(types, body)))]
    assert ("relu" in names) == stored
    assert any(name.startswith("fused") and "relu" in name for name in names) != stored


def test_one_that_is_recomputed_although_its_name_sounds_dear():
    """`expand_dims` has no exponential."""

    def body(emit, x, w):
        column = emit(relax.op.expand_dims(x, [2, 3]))
        return emit(relax.op.nn.conv2d(column, w))

    types = {"x": ((1, 2), "float32"), "w": (SQUARE, "float32")}
    fused = calls(FusePrologue()(legalized(types, body)))
    assert [name for name, _ in fused] == ["fused_expand_dims_conv2d"]


@pytest.mark.parametrize("operator", [relax.op.nn.silu, relax.op.nn.gelu, relax.op.erf])
def test_one_with_an_exponential_inside_is_stored_whatever_its_name(operator):
    def body(emit, x, w):
        wide = emit(relax.op.broadcast_to(x, IMAGE))
        return emit(relax.op.nn.conv2d(emit(operator(wide)), w))

    module = legalized({"x": ((1, 2, 1, 1), "float32"), "w": (SQUARE, "float32")}, body)
    assert calls(FusePrologue()(module))[-1][0] == "conv2d"


# -- adjoints under their masks --------------------------------------------------------------------

ADJOINT = {"m": (IMAGE, "bool"), "d": (IMAGE, "float32"), "w": (SQUARE, "float32")}
CONV = relax.op.nn.conv2d


def residual_branch(emit, m, d, w):
    """The adjoint of a sum: through the branch under its mask, and past it."""
    branch = emit(CONV(emit(masked(m, d)), w))
    return emit(relax.op.add(d, branch))


def two_readers_in_a_branch(emit, m, d, w):
    under_mask = emit(masked(m, d))
    leaf = emit(relax.op.sum(under_mask, [2, 3], True))
    branch = emit(relax.op.multiply(emit(CONV(under_mask, w)), leaf))
    return emit(relax.op.add(d, branch))


def nobody_needs_the_adjoint_later(emit, m, d, w):
    return emit(CONV(emit(masked(m, d)), w))


def another_needs_it_but_may_run_first(emit, m, d, w):
    return [emit(CONV(emit(masked(m, d)), w)), emit(relax.op.sum(d))]


def another_needs_it_not_behind_the_reader(emit, m, d, w):
    under_mask = emit(masked(m, d))
    return [emit(CONV(under_mask, w)), emit(relax.op.add(d, under_mask))]


def a_sum_without_mask(emit, _m, d, w):
    twice = emit(relax.op.add(d, d))
    return emit(relax.op.add(d, emit(CONV(twice, w))))


@pytest.mark.parametrize(
    "body, copies",
    [
        (residual_branch, 0),
        (two_readers_in_a_branch, 0),
        (nobody_needs_the_adjoint_later, 1),
        (another_needs_it_but_may_run_first, 1),
        (another_needs_it_not_behind_the_reader, 1),
    ],
)
def test_an_adjoint_under_its_mask_is_not_stored_beside_one_that_outlives_it(body, copies):
    fused = [name for name, _ in calls(FusePrologue()(legalized(ADJOINT, body)))]
    assert sum(name == "masked" for name in fused) == copies
    assert any(name.startswith("fused_masked") for name in fused) == (copies == 0)


def test_what_is_no_mask_is_stored_however_long_its_operand_lives():
    module = legalized(ADJOINT, a_sum_without_mask)
    assert calls(FusePrologue()(module)) == calls(module)


def test_the_branch_reads_the_sums_adjoint_itself():
    fused = FusePrologue()(legalized(ADJOINT, residual_branch))
    (_, reads), (last, _) = calls(fused)
    assert reads == ["m", "d", "w"] and last == "add"


def test_a_saved_mask_stays_a_kernel_that_reads_codes():
    """Nothing is fused behind it, but its own operand is decoded inside."""

    def body(emit, x, d):
        mask = positive_mask(emit(tiny.dequantize(x, 0.5)))
        saved = tvm.ir.make_node("ir.DictAttrs", saved=True)
        return emit(masked(emit(relax.Call(mask.op, mask.args, saved)), d))

    fused = FusePrologue()(legalized({"x": (IMAGE, "int8"), "d": (IMAGE, "float32")}, body))
    assert [name for name, _ in calls(fused)] == ["fused_dequantize_positive_mask", "masked"]
    after = tvm.transform.Sequential([relax.transform.FuseOps(), relax.transform.FuseTIR()])(fused)
    assert len(calls(after)) == 2


@pytest.mark.parametrize("body", [two_readers, chain])
def test_fusion_changes_no_bit(body):
    generator = np.random.default_rng(0)
    values = {
        "x": generator.integers(-128, 128, DATA[0], dtype=np.int8),
        "w": generator.normal(size=WEIGHT[0]).astype(np.float32),
    }
    module = tiny.module({"x": DATA, "w": WEIGHT}, body)
    for fused, plain in zip(
        tiny.run(module, fuse=True, **values), tiny.run(module, fuse=False, **values), strict=True
    ):
        np.testing.assert_array_equal(fused, plain)


def test_fusion_needs_no_more_kernels_than_operators():
    module = tiny.module({"x": DATA, "w": WEIGHT}, chain)
    assert len(calls(lowering(fuse=True)(module))) == 1 < len(calls(lowering(fuse=False)(module)))
