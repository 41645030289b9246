"""Structure of the two steps of training in batches, and of clipped updates."""

import numpy as np
import tiny
import tvm
from structure import canonical
from test_optimizer_step import COLUMN, SCALAR, expected, gradient_of, loss_of
from tvm import relax

from relay_passes import SparseBackward
from relay_passes.backward.accumulation import Accumulate, ApplyMean
from relay_passes.ops.accumulation import (
    accumulate,
    accumulate_codes,
    accumulated_peak,
    new_value,
    sum_of_codes,
)
from relay_passes.ops.clipping import add_squares, clip_factor
from relay_passes.ops.update import sgd_update
from relay_passes.optimizers import SGD, Accumulation

COUNT = ((), "uint32")


def step(ending):
    source = tiny.module({"x": COLUMN, "target": COLUMN, "w": COLUMN}, loss_of)
    return canonical(SparseBackward({"w"}, optimizer=ending)(source))


def test_a_sample_adds_its_gradient():
    def after(emit, x, target, learning_rate, seed, w, total):
        loss, gradient = loss_of(emit, x, target, w), gradient_of(emit, x, target)
        return [loss, emit(accumulate(total, gradient))]

    wanted = expected(
        {"w": COLUMN, "w.accumulator": COLUMN}, after, optimizer_states=["w.accumulator"]
    )
    found = step(Accumulate(Accumulation(SGD())))
    tvm.ir.assert_structural_equal(found, wanted, True)


def test_a_batch_updates_with_the_mean_and_runs_no_forward():
    parameters = {"w": COLUMN, "w.accumulator": COLUMN, "accumulated": COUNT}
    names = {"trained_parameters": ["w"], "gradient_sums": ["w.accumulator"]}
    found = step(ApplyMean(Accumulation(SGD())))
    assert tiny.op_names(found) == ["odt.reciprocal", "multiply", "odt.sgd_update"]
    assert [p.name for p in found["main"].params][4:] == list(parameters)
    assert {key: list(found["main"].attrs[key]) for key in names} == names


def test_a_clipped_update_knows_every_gradient_first():
    def after(emit, x, target, learning_rate, seed, w, limit):
        loss, gradient = loss_of(emit, x, target, w), gradient_of(emit, x, target)
        squares = emit(add_squares(relax.const(np.float32(0)), gradient))
        factor = emit(clip_factor(squares, relax.const(np.float32(1)), limit))
        clipped = emit(relax.op.multiply(gradient, factor))
        return [loss, emit(sgd_update(w, clipped, learning_rate))]

    wanted = expected({"w": COLUMN, "clip_norm": SCALAR}, after, trained_parameters=["w"])
    tvm.ir.assert_structural_equal(step(SGD(clip_norm=0.5)), wanted, True)


def test_sums_of_codes_know_their_peak_before_they_are_stored():
    row = ((3, 4), "float32")
    source = tiny.module({"x": row, "target": row, "w": row}, loss_of)
    ending = Accumulate(Accumulation(SGD(), "int16"))
    names = tiny.op_names(SparseBackward({"w"}, optimizer=ending)(source))
    own = [name for name in names if "accumul" in name or "new" in name]
    assert own == ["odt.accumulated_peak", "odt.accumulate_codes", "odt.new_value"]
    update = SparseBackward({"w"}, optimizer=ApplyMean(ending.batches))(source)
    assert tiny.op_names(update)[:2] == ["odt.reciprocal", "odt.sum_of_codes"]


def test_operators_of_sums_have_the_arithmetic_that_they_say():
    """In float32, an operation at a time."""
    generator = np.random.default_rng(0)
    gradient = generator.normal(size=(3, 5)).astype(np.float32)
    codes = generator.integers(-32767, 32768, (3, 5)).astype(np.int16)
    peak = np.array([0.5, 2.0, 0.0], np.float32)
    codes[2] = 0
    value = codes.astype(np.float32) * (peak * np.float32(1 / 32767))[:, None]
    total = value + gradient
    new_peak = np.maximum(peak, np.abs(total).max(1))
    factor = np.float32(32767) / new_peak

    def body(emit, codes, peak, gradient):
        found = emit(accumulated_peak(peak, codes, gradient))
        stored = emit(accumulate_codes(codes, peak, found, gradient))
        return [emit(new_value(found)), stored, emit(sum_of_codes(codes, peak))]

    arguments = {
        "codes": ((3, 5), "int16"),
        "peak": ((3,), "float32"),
        "gradient": ((3, 5), "float32"),
    }
    given = {"codes": codes, "peak": peak, "gradient": gradient}
    found = tiny.run(tiny.module(arguments, body), **given)
    wanted = new_peak, np.rint(total * factor[:, None]).astype(np.int16), value
    assert all(np.array_equal(*pair) for pair in zip(found, wanted, strict=True))
