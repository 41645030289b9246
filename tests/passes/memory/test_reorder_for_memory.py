"""Where the kernels of a step move so that few bytes are live."""

import numpy as np
import pytest
import tiny
import tvm
from instruments.interpreter import Interpreter
from tvm import relax

from relay_passes import (
    EliminateDeadGradients,
    InPlace,
    LowerToLoops,
    ReorderForMemory,
    SparseBackward,
    lowering,
)
from relay_passes.graph import bindings_of, op_name, variables_in
from relay_passes.memory.read_step import read_step

WIDE = (1, 64, 4, 4)
FLOATS = {"x": (WIDE, "float32"), "target": (WIDE, "float32")}
ATTRIBUTES = ("peak_bytes", "peak_lower_bound_bytes", "order_method")


def layers(emit, x, target, *parameters):
    """Of each pair a convolution and a bias; a ReLU behind each."""
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        y = emit(relax.op.nn.conv2d(x, weight))
        column = emit(relax.op.reshape(bias, (1, -1, 1, 1)))
        x = emit(relax.op.nn.relu(emit(relax.op.add(y, column))))
    return emit(relax.op.sum(emit(relax.op.multiply(x, target))))


def step(names, trained, body=layers) -> tvm.IRModule:
    """A lowered training step, its updates last."""
    types = {n: (((64, 64, 1, 1) if n[0] == "w" else (64,)), "float32") for n in names}
    differentiated = SparseBackward(trained)(tiny.module(FLOATS | types, body))
    return lowering()(EliminateDeadGradients()(differentiated))


def results_of(module) -> list[relax.Var]:
    """The loss, and the updated parameters by their order."""
    values = {b.var: b.value for b in bindings_of(module["main"])}
    result = module["main"].body.body
    return list(values.get(result, result).fields)


def kernels(module) -> list[str]:
    """The kernel of each binding, the kind of what is none."""
    values = [b.value for b in bindings_of(module["main"])]
    is_call = [op_name(v) == "relax.call_tir" for v in values]
    return [
        v.args[0].name_hint if c else op_name(v) or type(v).__name__
        for v, c in zip(values, is_call, strict=True)
    ]


def calls(module) -> list[str]:
    """The kernel of each call."""
    main = module["main"]
    is_call = [op_name(b.value) == "relax.call_tir" for b in bindings_of(main)]
    return [name for name, called in zip(kernels(module), is_call, strict=True) if called]


def is_in_order(module) -> bool:
    """Each variable is bound before it is read."""
    known = set(module["main"].params)
    for binding in bindings_of(module["main"]):
        if not known.issuperset(variables_in(binding.value)):
            return False
        known.add(binding.var)
    return True


def trained(module, *names) -> tvm.IRModule:
    main = module["main"].with_attr("trained_parameters", list(names))
    module.update_func(module.get_global_var("main"), main)
    return module


def updated_late(emit, x, b, c):
    """An adjoint is made, goes on, and updates a bias at the end."""
    loss = emit(relax.op.max(x))
    adjoint = emit(relax.op.exp(x))
    last = emit(relax.op.sum(emit(relax.op.sqrt(adjoint))))
    return [loss, emit(relax.op.subtract(b, adjoint)), emit(relax.op.multiply(c, last))]


def test_a_late_update_moves_up_so_that_the_next_adjoint_takes_the_place_of_its_own():
    module = trained(lowered(updated_late, x=(1, 256), b=(1, 256), c=()), "b", "c")
    assert calls(module) == ["max", "tir_exp", "tir_sqrt", "sum", "subtract", "multiply"]
    found = ReorderForMemory()(module)
    assert calls(found) == ["max", "tir_exp", "subtract", "tir_sqrt", "sum", "multiply"]
    assert found["main"].attrs["peak_bytes"] == 1024 + 16 + 16  # of the sum, beside the loss


def loss_last(emit, x, b):
    """The update could run, and make room, before the loss is known."""
    adjoint = emit(relax.op.exp(x))
    updated = emit(relax.op.subtract(b, adjoint))
    loss = emit(relax.op.sum(emit(relax.op.sqrt(x))))
    return [loss, updated]


@pytest.mark.parametrize("rollback", [False, True])
def test_the_loss_is_known_before_the_first_update(rollback):
    module = trained(lowered(loss_last, x=(1, 256), b=(1, 256)), "b")
    found = ReorderForMemory(rollback=rollback)(module)
    assert calls(found)[-1] == "subtract"
    assert found["main"].attrs["peak_bytes"] == 2048 + 16
    assert found["main"].attrs["rollback"] == rollback


def two_updates(emit, x, b, c):
    """The large parameter's update comes first in the graph."""
    loss = emit(relax.op.max(x))
    first, second = emit(relax.op.exp(loss)), emit(relax.op.sum(x))
    return [loss, emit(relax.op.multiply(b, first)), emit(relax.op.multiply(c, second))]


@pytest.mark.parametrize(
    "rollback, peak",
    [
        (False, 1024 + 2 * 16),  # x, loss and the other scalar
        (True, 4096 + 3 * 16),  # x is gone when b is copied; scalars, of which one is c's copy
    ],
)
def test_a_backup_takes_bytes_from_its_update_to_the_end(rollback, peak):
    module = trained(lowered(two_updates, x=(1, 256), b=(1, 1024), c=()), "b", "c")
    found = ReorderForMemory(rollback=rollback)(module)
    attributes = found["main"].attrs
    assert attributes["peak_bytes"] == attributes["peak_lower_bound_bytes"] == peak
    order = kernels(found)
    assert not rollback or order.index("sum") < order.index("multiply")


def test_only_the_order_of_the_bindings_differs():
    before = step(["w1", "b1", "w2", "b2"], {"w1": None, "b1": None, "w2": [0, 1], "b2": None})
    after = ReorderForMemory()(before)
    one, other = (bindings_of(module["main"]) for module in (before, after))
    assert set(one) == set(other) and one != other and is_in_order(after)
    assert after["main"].body.body.same_as(before["main"].body.body)
    for attribute, value in before["main"].attrs.items():
        tvm.ir.assert_structural_equal(after["main"].attrs[attribute], value)
    for gvar, function in before.functions_items():
        if gvar.name_hint != "main":
            assert after[gvar.name_hint].same_as(function)


def test_an_update_stays_behind_the_other_reader_of_its_parameter():
    """The input's gradient reads the weight: the update that would free more runs after it."""
    before = step(["w1", "b1", "w2", "b2"], {"b1": None, "w2": None})
    after = ReorderForMemory()(before)
    weight = next(p for p in after["main"].params if p.name == "w2")
    readers = [b.var for b in bindings_of(after["main"]) if weight in variables_in(b.value)]
    assert len(readers) == 3  # forward, gradient of the input, update
    assert readers[-1].same_as(results_of(after)[2])


def two_layers_share(emit, x, target, w):
    y = emit(relax.op.nn.relu(emit(relax.op.nn.conv2d(x, w))))
    y = emit(relax.op.nn.relu(emit(relax.op.nn.conv2d(y, w))))
    return emit(relax.op.sum(emit(relax.op.multiply(y, target))))


def test_a_shared_weight_is_updated_after_all_its_readers():
    after = ReorderForMemory()(step(["w"], {"w": None}, two_layers_share))
    weight = next(p for p in after["main"].params if p.name == "w")
    readers = [b.var for b in bindings_of(after["main"]) if weight in variables_in(b.value)]
    assert readers[-1].same_as(results_of(after)[1])


def chain(emit, x, big):
    """Two sums of x, then of something large that could be used before."""
    wide = emit(relax.op.exp(big))
    first = emit(relax.op.sum(x))
    second = emit(relax.op.sum(wide))
    return emit(relax.op.add(first, second))


def lowered(body, **types) -> tvm.IRModule:
    return lowering(fuse=False)(tiny.module({n: (s, "float32") for n, s in types.items()}, body))


def test_the_attributes_are_bytes_counted_by_hand():
    """x of 1 KB dies before 4 KB are made of a parameter; scalars take 16 bytes each."""
    found = ReorderForMemory()(lowered(chain, x=(1, 256), big=(1, 1024)))
    assert kernels(found) == ["sum", "tir_exp", "sum1", "add"]
    attributes = found["main"].attrs
    assert attributes["peak_bytes"] == attributes["peak_lower_bound_bytes"] == 16 + 4096 + 16
    assert attributes["order_method"] == "exact"


def best_already(emit, x):
    y = emit(relax.op.exp(x))
    return emit(relax.op.sum(emit(relax.op.sqrt(y))))


def test_an_order_that_cannot_be_better_is_left_alone():
    module = lowered(best_already, x=(1, 64))
    found = ReorderForMemory()(module)
    assert bindings_of(found["main"]) == bindings_of(module["main"])
    assert {name: found["main"].attrs[name] for name in ATTRIBUTES} == {
        "peak_bytes": 256 + 16,  # each result takes the place of its operand, the sum does not
        "peak_lower_bound_bytes": 256 + 16,
        "order_method": "exact",
    }


def reshaped(emit, x, big):
    """A reshape and fields of a tuple between the kernels."""
    wide = emit(relax.op.exp(big))
    flat = emit(relax.op.reshape(wide, (1024,)))
    parts = emit(relax.op.split(x, 2, 1))
    left, right = (emit(relax.TupleGetItem(parts, i)) for i in range(2))
    small = emit(relax.op.add(emit(relax.op.sum(left)), emit(relax.op.sum(right))))
    return [small, emit(relax.op.sum(flat))]


def test_tuples_and_reshapes_follow_their_writer():
    before = lowered(reshaped, x=(1, 256), big=(1, 1024))
    after = ReorderForMemory()(before)
    bindings = bindings_of(after["main"])
    assert is_in_order(after) and set(bindings) == set(bindings_of(before["main"]))
    names = kernels(after)
    split = next(i for i, b in enumerate(bindings) if isinstance(b.var.ty, relax.TupleType))
    assert names[split + 1 : split + 3] == ["TupleGetItem"] * 2
    reshape = names.index("relax.reshape")
    assert bindings[reshape - 1].var.same_as(bindings[reshape].value.args[0])
    assert names[reshape - 1] == "tir_exp"
    assert reshape > split  # what is made of a parameter waits until x is gone


@pytest.mark.parametrize("trained", [{"b1": None}, {"w1": None, "b1": None, "w2": None}])
def test_reordered_kernels_give_the_same_bits(trained):
    generator = np.random.default_rng(0)
    before = step(["w1", "b1", "w2", "b2"], trained)
    values = {
        p.name: generator.normal(size=[int(n) for n in p.ty.shape]).astype(str(p.ty.dtype))
        for p in before["main"].params
    }
    expected, found = (results(module, values) for module in (before, ReorderForMemory()(before)))
    assert len(found) == 1 + len(trained)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def results(module, values) -> list[np.ndarray]:
    program = read_step(module)
    tensors = Interpreter(program, values).run()
    return [tensors[t.name] for t in program.results]


def test_another_function_by_name_and_the_rest_stays():
    module = lowered(reshaped, x=(1, 256), big=(1, 1024)).with_attr("kept", 1)
    functions = dict(module.functions_items())
    main = functions[module.get_global_var("main")]
    functions[tvm.ir.GlobalVar("predict")] = main.with_attr("global_symbol", "predict")
    both = tvm.IRModule(functions, attrs=module.attrs)
    after = ReorderForMemory(func_name="predict")(both)
    assert after.attrs["kept"] == 1 and "peak_bytes" not in after["main"].attrs
    tvm.ir.assert_structural_equal(after["main"], both["main"])
    expected = ReorderForMemory()(module)["main"]
    assert variables(after["predict"]) == variables(expected)
    assert after["predict"].attrs["peak_bytes"] == expected.attrs["peak_bytes"]


def variables(function) -> list[str]:
    return [b.var.name for b in bindings_of(function)]


def test_a_cast_that_is_known_to_match_is_kept():
    def body(emit, x):
        y = emit(relax.op.exp(x))
        known = relax.Var("known", y.ty)
        builder = relax.BlockBuilder.current()
        builder.emit_normalized(relax.MatchCast(known, y, y.ty))
        return emit(relax.op.sum(known))

    module = tiny.module({"x": ((1, 64), "float32")}, body)
    for each in (relax.transform.LegalizeOps(), LowerToLoops(), InPlace()):
        module = each(module)
    before, after = module, ReorderForMemory()(module)
    assert any(isinstance(b, relax.MatchCast) for b in bindings_of(after["main"]))
    assert set(bindings_of(after["main"])) == set(bindings_of(before["main"]))
