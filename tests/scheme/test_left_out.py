"""What belongs to a layer beside its weight and bias, and what `full` leaves out, with a reason."""

import numpy as np
import pytest
import tiny
from importing import imported, weights
from tvm import relax
from tvm.relax import op

from tvm_ondevice_train.compiler import compile
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.file_forms import FORMS
from tvm_ondevice_train.frontend.canonicalize import Canonicalizer
from tvm_ondevice_train.scheme.left_out import left_out
from tvm_ondevice_train.scheme.update_scheme import resolve
from tvm_ondevice_train.trainable import check_operators

CONSTANT = "a constant, which the file does not call learned"
NUMBER = "a single number, which may be of a formula"
VALUES = {
    "mean": weights(3, 1, 1),
    "w": weights(3, 3, 1, 1),
    "gain": weights(3, 1, 1),
    "v": weights(4, 3, 1, 1, seed=1),
    "table": weights(4, 4, 5),
    "k": np.float32([1.5]),
}


def body(emit, x, mean, w, gain, v, table, k):
    y = emit(op.nn.conv2d(emit(op.add(x, mean)), w))
    y = emit(op.nn.relu(emit(op.multiply(y, gain))))
    y = emit(op.add(emit(op.nn.relu(emit(op.nn.conv2d(y, v)))), table))
    y = emit(op.multiply(y, k))
    return emit(op.nn.softmax(emit(op.mean(y, [2, 3])), 1))


@pytest.fixture(scope="module")
def model():
    return imported(body, ((1, 3, 4, 5), "float32"), **VALUES)[1]


def test_learned_vectors_belong_to_the_layer_before_them_or_to_the_first(model):
    assert [layer.parameters for layer in model.layers] == [("w", "mean", "gain"), ("v",)]
    assert resolve("last:1", model.layers).trained == ("w", "mean", "gain", "v")


def test_full_says_what_it_leaves_out(model):
    trained = resolve("full", model.layers).trained
    assert left_out(model, model, "full", trained) == {"table": CONSTANT, "k": NUMBER}
    assert left_out(model, model, "head", ("v",)) == {}


def test_where_the_file_says_what_was_learned_all_of_it_trains(model):
    function = tiny.module({"x": ((1, 3, 4, 5), "float32")} | _types(), body)["main"]
    pairs = {p: (p.name, VALUES[p.name]) for p in function.params[1:]}
    certain = Canonicalizer("net", function, pairs, FORMS, all_learned=True)
    whole = certain.run(function.params[0])
    trained = resolve("full", whole.layers).trained
    assert set(trained) == set(VALUES)
    assert left_out(whole, whole, "full", trained) == {}


def _types():
    return {name: (value.shape, "float32") for name, value in VALUES.items()}


def test_codes_that_no_layer_has_are_left_out():
    def quantized(emit, x, codes):
        scale, zero = relax.const(0.5, "float32"), relax.const(0, "int8")
        return emit(op.multiply(x, emit(op.dequantize(codes, scale, zero, 0, "float32"))))

    values = {"codes": np.arange(3, dtype=np.int8).reshape(3, 1, 1)}
    _, model = imported(quantized, ((1, 3, 4, 5), "float32"), **values)
    assert left_out(model, model, "full", []) == {"codes": "quantized, and of no layer"}


HALF = relax.const(0.5, "float32")


def test_what_is_computed_from_a_tensor_trains_in_its_place():
    def halved(emit, x, w, v):
        return emit(op.matmul(x, emit(op.add(emit(op.multiply(w, HALF)), v))))

    values = {"w": weights(4, 3), "v": weights(4, 3, seed=1)}
    _, model = imported(halved, ((1, 4), "float32"), **values)
    why = "dense0.weight, which is computed from it, trains in its place"
    assert left_out(model, model, "full", ["dense0.weight"]) == {"w": why, "v": why}
    check_operators(model, ["dense0.weight"])


def test_a_tensor_that_is_also_computed_with_does_not_train():
    def tied(emit, x, w):
        return emit(op.matmul(emit(op.matmul(x, w)), emit(op.multiply(w, HALF))))

    _, model = imported(tied, ((1, 4), "float32"), w=weights(4, 4))
    check_operators(model, ["dense1.weight"])
    with pytest.raises(OdtError, match=r'"w": "dense1\.weight" is computed from it'):
        check_operators(model, ["w", "dense1.weight"])


def test_report_and_header_say_what_is_left_out_and_what_a_prediction_is(model):
    compiled = compile(model, scheme="full", board="host")
    assert compiled.report["not_trained"] == {"table": CONSTANT, "k": NUMBER}
    said = "logits; the softmax that ends the file's model is left to the loss"
    assert compiled.report["output"] == said
    assert said in compiled.files["model.h"].replace("\n *", "")
    assert "nn.softmax" in tiny.op_names(compiled.model.module)  # which is exported
    assert compile(model, loss="mse", board="host").report["output"] == "logits or values"
