"""A pass that breaks a module is named by what runs behind each pass."""

import pytest
import tiny
import tvm
from tvm import relax

from relay_passes.graph import bindings_of, op_name, rebuilt
from relay_passes.ops.update import sgd_update
from relay_passes.pipeline import fusion, run, training_passes
from tvm_ondevice_train.training_graph import loss_module


def broken(name: str, rewrite) -> tvm.transform.Pass:
    """A pass that replaces ``main`` by ``rewrite(main)``."""

    @tvm.transform.module_pass(opt_level=0, name=name)
    class Broken:
        def transform_module(self, module, _context):
            functions = dict(module.functions_items())
            functions[module.get_global_var("main")] = rewrite(module["main"])
            return relax.transform.Normalize()(tvm.IRModule(functions, attrs=module.attrs))

    return Broken()


def undefined(function):
    """The first binding is gone; what reads it stays."""
    body = relax.SeqExpr([relax.DataflowBlock(bindings_of(function)[1:])], function.body.body)
    return relax.Function(function.params, body, function.ret_ty, True, function.attrs)


def without_kernel(function):
    """An operator that TVM makes no kernel of."""

    def rewrite(emit, binding):
        value = binding.value
        if op_name(value) == "relax.nn.relu":
            return relax.op.nn.relu(emit(relax.op.builtin.stop_lift_params(value.args[0])))
        return value

    return rebuilt(function, rewrite)


def of_a_slice(function):
    """The update of the first parameter gets a gradient of its first row."""

    def rewrite(emit, binding):
        value = binding.value
        if op_name(value) == "relax.odt.sgd_update" and len(value.args[0].ty.shape) == 4:
            row = emit(relax.op.strided_slice(value.args[1], [0], [0], [1]))
            return sgd_update(value.args[0], row, value.args[2])
        return value

    return rebuilt(function, rewrite)


def returning(function, fields):
    """`function` with these results in a tuple."""
    result = relax.Var("results", relax.TupleType([field.ty for field in fields]))
    bindings = [*bindings_of(function), relax.VarBinding(result, relax.Tuple(fields))]
    body = relax.SeqExpr([relax.DataflowBlock(bindings)], result)
    return relax.Function(function.params, body, result.ty, True, function.attrs)


def of_another_shape(function):
    """The new value of the first parameter is that of its bias."""
    loss, _, second, *rest = function.body.body.fields
    return returning(function, [loss, second, second, *rest])


def without_update(function):
    """The first trained parameter comes back as it was."""
    (first,) = [p for p in function.params if p.name == function.attrs["trained_parameters"][0]]
    loss, _, *rest = function.body.body.fields
    return returning(function, [loss, first, *rest])


def without_names(function):
    return function.without_attr("trained_parameters")


def forgets_one(function):
    names = list(function.attrs["trained_parameters"])
    return function.with_attr("trained_parameters", names[1:])


@pytest.mark.parametrize(
    "rewrite, behind, message",
    [
        (undefined, "EliminateDeadGradients", "DataflowVar .* is not defined"),
        (
            without_kernel,
            "EliminateDeadGradients",
            "relax.builtin.stop_lift_params cannot become a kernel",
        ),
        (of_a_slice, "SparseBackward", r'the gradient of "conv.weight" has shape \(1, 2, 3, 3\), '),
        (of_another_shape, "SparseBackward", 'the new value of "conv.weight" has shape'),
        (without_update, "SparseBackward", 'nothing updates "conv.weight", which trains'),
        (without_names, "SparseBackward", 'nothing updates "conv.weight", which trains'),
        (forgets_one, "ReorderForMemory", 'nothing updates "conv.weight", which trains'),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_pass_that_broke_the_module_is_named(rewrite, behind, message):
    model = tiny.network()
    trained = list(model.parameters)
    passes = training_passes(trained)
    place = [p.info.name for p in passes].index(f"odt.{behind}") + 1
    passes.insert(place, broken("Culprit", rewrite))
    with pytest.raises(AssertionError, match=f"^Culprit: .*{message}") as caught:
        run(passes, loss_module(model, "cross_entropy"), trained)
    assert "\n" not in str(caught.value)


def test_an_operator_among_kernels_is_named():
    def unlowered(function):
        def rewrite(emit, binding):
            value = binding.value
            if op_name(value) == "relax.reshape":
                return relax.op.permute_dims(value.args[0])
            return value

        return rebuilt(function, rewrite)

    def body(emit, x):
        return emit(relax.op.reshape(emit(relax.op.nn.relu(x)), (4, 4)))

    module = tiny.module({"x": ((4, 4), "float32")}, body)
    with pytest.raises(AssertionError, match=r"^Late: relax\.permute_dims cannot become a kernel"):
        run([*fusion(), broken("Late", unlowered)], module)


def test_every_pass_is_seen_and_the_module_comes_back():
    model, seen = tiny.network(quantized=True), []
    passes = training_passes(list(model.parameters))
    module = run(
        passes,
        loss_module(model, "cross_entropy"),
        list(model.parameters),
        lambda name, module: seen.append((name, module)),
    )
    assert [name for name, _ in seen] == [p.info.name for p in passes]
    assert seen[-1][1].same_as(module)
