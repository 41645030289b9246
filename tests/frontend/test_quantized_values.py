"""Parameters of the canonical form: folded batch norms, sharing, names."""

import numpy as np
import pytest
import tiny
from importing import imported, result, weights
from tvm import relax
from tvm.relax import op

from tvm_ondevice_train.file_forms import FORMS
from tvm_ondevice_train.frontend.canonicalize import Canonicalizer

STATISTICS = {
    "gamma": weights(2, seed=1) + 1,
    "beta": weights(2, seed=2),
    "mean": weights(2, seed=3),
    "variance": weights(2, seed=4) ** 2 + 0.5,
}


def normalized(emit, y, statistics):
    return emit(
        relax.TupleGetItem(emit(op.nn.batch_norm(y, *statistics, axis=1, training=False)), 0)
    )


def norm_after_conv(emit, x, kernel, *statistics):
    return normalized(emit, emit(op.nn.conv2d(x, kernel)), statistics)


def norm_after_bias(emit, x, kernel, bias, *statistics):
    y = emit(op.add(emit(op.nn.conv2d(x, kernel)), bias))
    return normalized(emit, y, statistics)


def norm_beside_another_reader(emit, x, kernel, *statistics):
    y = emit(op.nn.conv2d(x, kernel))
    return emit(op.add(normalized(emit, y, statistics), y))


def norm_first(emit, x, kernel, *statistics):
    return emit(op.nn.conv2d(normalized(emit, x, statistics), kernel))


def norm_after_a_shared_kernel(emit, x, kernel, *statistics):
    y = emit(op.nn.relu(emit(op.nn.conv2d(x, kernel))))
    return normalized(emit, emit(op.nn.conv2d(y, kernel)), statistics)


def norm_before_a_shared_kernel(emit, x, kernel, *statistics):
    y = normalized(emit, emit(op.nn.conv2d(x, kernel)), statistics)
    return emit(op.nn.conv2d(y, kernel))


def norm_after_a_shared_bias(emit, x, kernel, bias, *statistics):
    y = emit(op.add(emit(op.nn.conv2d(x, kernel)), bias))
    y = emit(op.add(emit(op.nn.conv2d(y, kernel)), bias))
    return normalized(emit, y, statistics)


SQUARE = {"kernel": weights(2, 2, 1, 1)}
BIAS = {"bias": weights(1, 2, 1, 1, seed=9)}


@pytest.mark.parametrize(
    "body, values, folded",
    [
        (norm_after_conv, SQUARE, True),
        (norm_after_bias, {**SQUARE, **BIAS}, True),
        (norm_beside_another_reader, SQUARE, False),
        (norm_first, SQUARE, False),
        (norm_after_a_shared_kernel, SQUARE, False),
        (norm_before_a_shared_kernel, SQUARE, False),
        (norm_after_a_shared_bias, {**SQUARE, **BIAS}, False),
    ],
)
def test_batch_norm_folds_where_nobody_else_reads_the_layer(body, values, folded):
    values = {**values, **STATISTICS}
    planes = ((1, 2, 3, 3), "float32")
    source, model = imported(body, planes, **values)
    x = weights(*planes[0], seed=5)
    expected = result(source, x, values)
    np.testing.assert_allclose(result(model.module, x, model.parameters), expected, atol=1e-5)
    assert ("multiply" not in tiny.op_names(model.module)) == folded


def test_folded_values():
    values = {**SQUARE, **BIAS, **STATISTICS}
    _, model = imported(norm_after_bias, ((1, 2, 3, 3), "float32"), **values)
    factor = STATISTICS["gamma"] / np.sqrt(STATISTICS["variance"] + 1e-5)
    shift = STATISTICS["beta"] - STATISTICS["mean"] * factor
    kernel, bias = SQUARE["kernel"] * factor.reshape(2, 1, 1, 1), BIAS["bias"].reshape(2)
    np.testing.assert_allclose(model.parameters["kernel"], kernel, rtol=1e-6)
    np.testing.assert_allclose(model.parameters["bias"], bias * factor + shift, rtol=1e-5)


def test_shared_weights_are_one_parameter():
    def body(emit, x, kernel):
        return emit(op.nn.conv2d(emit(op.nn.relu(emit(op.nn.conv2d(x, kernel)))), kernel))

    _, model = imported(body, ((1, 2, 3, 3), "float32"), kernel=weights(2, 2, 1, 1))
    assert list(model.parameters) == ["kernel"]
    assert [layer.weight for layer in model.layers] == ["kernel", "kernel"]


def test_two_tensors_of_one_name_stay_two():
    first, second = weights(2, 2, 1, 1), weights(2, 2, 1, 1, seed=9)

    def body(emit, x, one, two, *statistics):
        y = emit(op.nn.relu(emit(op.nn.conv2d(x, one))))
        return normalized(emit, emit(op.nn.conv2d(y, two)), statistics)

    values = {"one": first, "two": second, **STATISTICS}
    planes = ((1, 2, 3, 3), "float32")
    source = tiny.module(
        {"x": planes, **{n: (v.shape, "float32") for n, v in values.items()}}, body
    )
    variables = source["main"].params
    named = {
        v: ("w" if v.name in ("one", "two") else v.name, values[v.name]) for v in variables[1:]
    }
    model = Canonicalizer("net", source["main"], named, FORMS).run(variables[0])
    x = weights(*planes[0], seed=5)
    expected = result(source, x, values)
    np.testing.assert_allclose(result(model.module, x, model.parameters), expected, atol=1e-5)
    np.testing.assert_array_equal(model.parameters["w"], first)
    assert [layer.weight for layer in model.layers] == ["w", "w_2"]


def test_constants_without_a_name_are_named_after_their_layer():
    def body(emit, x):
        kernel, bias = relax.const(weights(2, 2, 1, 1)), relax.const(weights(1, 2, 1, 1))
        y = emit(op.add(emit(op.nn.conv2d(x, kernel)), bias))
        y = emit(op.nn.conv2d(y, relax.const(weights(2, 2, 1, 1, seed=4))))
        dense = relax.const(weights(18, 2))
        return emit(op.matmul(emit(op.reshape(y, (1, 18))), dense))

    _, model = imported(body, ((1, 2, 3, 3), "float32"))
    assert list(model.parameters) == ["conv0.weight", "conv0.bias", "conv1.weight", "dense2.weight"]
