"""Structure of the updates that `SparseBackward` makes of an optimizer."""

import zlib

import numpy as np
import pytest
import tiny
import tvm
from structure import canonical
from tvm import relax

from relay_passes import SparseBackward
from relay_passes.ops.registry import call
from relay_passes.ops.update import real_value, sgd_update, sgd_update_codes
from relay_passes.optimizers import SGD, Adam, Momentum

COLUMN = ((3, 1), "float32")
SCALAR = ((), "float32")
STEP = {"learning_rate": SCALAR, "seed": ((), "uint32")}


def loss_of(emit, x, target, value):
    product = emit(relax.op.multiply(x, value))
    return emit(relax.op.sum(emit(relax.op.multiply(product, target))))


def gradient_of(emit, x, target):
    ones = emit(relax.op.ones((), "float32"))
    adjoint = emit(relax.op.multiply(emit(relax.op.broadcast_to(ones, (3, 1))), target))
    return emit(relax.op.multiply(adjoint, x))


def float_step(optimizer):
    source = tiny.module({"x": COLUMN, "target": COLUMN, "w": COLUMN}, loss_of)
    return canonical(SparseBackward({"w"}, optimizer=optimizer)(source))


def expected(parameters, body, **attributes):
    arguments = {"x": COLUMN, "target": COLUMN, **STEP, **parameters}
    function = tiny.module(arguments, body)["main"].with_attrs(attributes)
    return canonical(tvm.IRModule({"main": function}))


def test_momentum_keeps_a_velocity_and_goes_along_it():
    step = float_step(Momentum())

    def after(emit, x, target, learning_rate, seed, w, momentum, velocity):
        loss, gradient = loss_of(emit, x, target, w), gradient_of(emit, x, target)
        reads = ["gradient", "velocity", "momentum"]
        moved = emit(call("momentum_velocity", gradient, velocity, momentum, reads=reads))
        return [loss, emit(sgd_update(w, moved, learning_rate)), moved]

    parameters = {"w": COLUMN, "momentum": SCALAR, "w.velocity": COLUMN}
    names = {"trained_parameters": ["w"], "optimizer_states": ["w.velocity"]}
    tvm.ir.assert_structural_equal(step, expected(parameters, after, **names), True)


def test_weight_decay_reads_the_value():
    step = float_step(SGD(weight_decay=0.5))

    def after(emit, x, target, learning_rate, seed, w, weight_decay):
        loss, gradient = loss_of(emit, x, target, w), gradient_of(emit, x, target)
        reads = ["gradient", "value", "weight_decay"]
        direction = emit(call("sgd_direction", gradient, w, weight_decay, reads=reads))
        return [loss, emit(sgd_update(w, direction, learning_rate))]

    parameters = {"w": COLUMN, "weight_decay": SCALAR}
    wanted = expected(parameters, after, trained_parameters=["w"])
    tvm.ir.assert_structural_equal(step, wanted, True)


def test_codes_have_a_velocity_in_the_real_domain():
    def before(emit, x, target, q):
        return loss_of(emit, x, target, emit(tiny.dequantize(q, 0.25)))

    codes = ((3, 1), "int8")
    source = tiny.module({"x": COLUMN, "target": COLUMN, "q": codes}, before)
    step = canonical(SparseBackward({"q"}, optimizer=Momentum(weight_decay=0.5))(source))

    def after(emit, x, target, learning_rate, seed, q, weight_decay, momentum, velocity):
        loss = loss_of(emit, x, target, emit(tiny.dequantize(q, 0.25)))
        gradient = gradient_of(emit, x, target)
        value = emit(real_value(q, relax.const(np.full(3, 0.25, np.float32))))
        reads = ["gradient", "value", "velocity", "weight_decay", "momentum"]
        operands = gradient, value, velocity, weight_decay, momentum
        moved = emit(call("momentum_velocity", *operands, reads=reads))
        inverse, salt = relax.const(np.full(3, 4.0, np.float32)), zlib.crc32(b"q")
        updated = sgd_update_codes(q, moved, learning_rate, seed, inverse, limit=127, salt=salt)
        return [loss, emit(updated), moved]

    further = {"weight_decay": SCALAR, "momentum": SCALAR, "q.velocity": COLUMN}
    names = {"trained_parameters": ["q"], "optimizer_states": ["q.velocity"]}
    wanted = expected({"q": codes, **further}, after, **names)
    tvm.ir.assert_structural_equal(step, wanted, True)


def test_adam_reads_the_new_numbers_of_the_step():
    step = float_step(Adam())

    def after(emit, x, target, learning_rate, seed, w, beta1, beta2, epsilon, *states):
        loss, gradient = loss_of(emit, x, target, w), gradient_of(emit, x, target)

        def averaged(name, beta, *operands):
            reads = ["gradient", name, beta.name] if len(operands) > 1 else [name, beta.name]
            return emit(call(f"adam_{name}", *operands, beta, reads=reads))

        mean_correction = averaged("mean_correction", beta1, states[0])
        square_correction = averaged("square_correction", beta2, states[1])
        mean = averaged("mean", beta1, gradient, states[2])
        square = averaged("square", beta2, gradient, states[3])
        operands = mean, square, epsilon, mean_correction, square_correction
        reads = ["mean", "square", "epsilon", "mean_correction", "square_correction"]
        direction = emit(call("adam_direction", *operands, reads=reads))
        updated = emit(sgd_update(w, direction, learning_rate))
        return [loss, updated, mean_correction, square_correction, mean, square]

    numbers = "beta1", "beta2", "epsilon", "mean_correction", "square_correction"
    parameters = {"w": COLUMN, **dict.fromkeys(numbers, SCALAR)}
    parameters |= {"w.mean": COLUMN, "w.square": COLUMN}
    states = [*numbers[3:], "w.mean", "w.square"]
    wanted = expected(parameters, after, trained_parameters=["w"], optimizer_states=states)
    tvm.ir.assert_structural_equal(step, wanted, True)


def test_states_in_codes_are_decoded_where_they_are_read():
    shape = ((4, 8), "float32")

    def loss(emit, x, target, value):
        product = emit(relax.op.multiply(x, value))
        return emit(relax.op.sum(emit(relax.op.multiply(product, target))))

    source = tiny.module(dict.fromkeys(("x", "target", "w"), shape), loss)
    step = SparseBackward({"w"}, optimizer=Momentum(state_dtype="int8"))(source)
    kinds = {p.name: (tuple(map(int, p.ty.shape)), str(p.ty.dtype)) for p in step["main"].params}
    assert kinds["w.velocity"] == ((2, 16), "int8")
    assert kinds["w.velocity_scale"] == ((2,), "float32")
    names = [str(name) for name in step["main"].attrs["optimizer_states"]]
    assert names == ["w.velocity", "w.velocity_scale"]
    assert [n for n in tiny.op_names(step) if n.startswith("odt.")] == [
        *("odt.momentum_velocity_codes", "odt.block_values", "odt.sgd_update")
    ]
    assert [tuple(map(int, t.shape)) for t in step["main"].ret_ty.fields] == [
        *((), (4, 8), (2, 16), (2,))
    ]


def test_numbers_change_once_for_all_parameters():
    def product(emit, x, target, v, w):
        return loss_of(emit, emit(relax.op.multiply(x, v)), target, w)

    source = tiny.module(dict.fromkeys(("x", "target", "v", "w"), COLUMN), product)
    names = tiny.op_names(SparseBackward(["v", "w"], optimizer=Adam())(source))
    counts = {name: names.count(f"odt.adam_{name}") for name in ("mean", "mean_correction")}
    assert counts == {"mean": 2, "mean_correction": 1}


@pytest.mark.parametrize("optimizer", [SGD(), SGD(0.3)], ids=str)
def test_plain_descent_adds_nothing(optimizer):
    assert tiny.op_names(float_step(optimizer))[-1] == "odt.sgd_update"
    assert len(float_step(optimizer)["main"].params) == 5
