"""Operators that cannot be trained are refused in one line, before anything is compiled."""

import numpy as np
import pytest
import tiny
from tvm import relax
from tvm.ir import Op
from tvm.relax import op

from relay_passes.ops.registry import describe, operator_of, without_gradient
from tvm_ondevice_train.compiler import compile
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.export.learned import merge, write
from tvm_ondevice_train.export.reading import read_parameters
from tvm_ondevice_train.file_forms import FORMS
from tvm_ondevice_train.manifest import read_manifest
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.trainable import check_operators

IMAGE, HIDDEN = (1, 2, 4, 4), (1, 3, 4, 4)
WEIGHTS = {"conv.weight": (3, 2, 1, 1), "head.weight": (4, 3, 1, 1)}


def network(between) -> Model:
    """A 1x1 convolution, ``between(emit, y)``, a mean and a head of four outputs."""

    def body(emit, x, weight, head):
        y = between(emit, emit(op.nn.conv2d(x, weight)))
        y = emit(op.nn.conv2d(emit(op.mean(y, [2, 3], True)), head))
        return op.reshape(y, (1, 4))

    generator = np.random.default_rng(0)
    values = {n: generator.normal(size=s).astype(np.float32) for n, s in WEIGHTS.items()}
    types = {"x": (IMAGE, "float32"), **{n: (s, "float32") for n, s in WEIGHTS.items()}}
    return Model("net", tiny.module(types, body), values, TensorSpec(IMAGE, "float32"))


def through_a_floor(emit, y):
    return emit(op.floor(y))


def without_c(emit, y):
    return emit(op.sin(y))


def only_compiled(emit, y):
    """It has C and a gradient, but no frontend gives it and ONNX is not written of it."""
    shape = relax.ShapeExpr(HIDDEN)
    return emit(op.broadcast_to(emit(op.mean(y, [2, 3], True)), shape))


def test_a_gradient_must_pass_only_where_something_trains_before():
    model = network(through_a_floor)
    assert without_gradient(model.module["main"].body.blocks[0].bindings[1].value)
    check_operators(model, ["head.weight"])
    message = (
        'net: operator "relax.floor" behind layer "conv": it has no gradient, and what '
        "trains lies before it; train only layers behind it (--scheme), or use another operator"
    )
    with pytest.raises(OdtError) as error:
        compile(model, scheme="full")
    assert str(error.value) == message
    assert compile(model, scheme="head").report["trained_parameters"].keys() == {"head.weight"}


def test_an_operator_without_c_is_named_with_what_is_missing():
    with pytest.raises(OdtError) as error:
        compile(network(without_c), scheme="head")
    assert str(error.value) == (
        'net: operator "relax.sin" behind layer "conv": it cannot be compiled (no C for the '
        "function sinf; this operator cannot be compiled yet); use another operator"
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Of a model that has no form in ONNX."""
    compiled = compile(network(only_compiled), scheme="full")
    return compiled, compiled.save(tmp_path_factory.mktemp("project") / "net", platform="host")


def test_a_model_without_a_form_in_onnx_is_compiled_all_the_same(project):
    _, directory = project
    assert not (directory / "model.onnx").exists()
    assert (
        read_manifest(directory).not_in_onnx
        == "net: operator relax.broadcast_to has no form in ONNX"
    )


def test_export_and_import_say_why_there_is_no_onnx(project, tmp_path):
    compiled, directory = project
    why = (
        f"{directory} has no model.onnx (net: operator relax.broadcast_to has no form in ONNX); "
        "take FILE.npz"
    )
    with pytest.raises(OdtError) as error:
        merge(directory, compiled.initial)
    assert str(error.value) == f"export: {why}"
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(OdtError) as error:
        read_parameters(tmp_path / "net.onnx", directory)
    assert str(error.value) == f"import: {why}"
    write(tmp_path / "learned.npz", directory, compiled.initial)
    found = read_parameters(tmp_path / "learned.npz", directory)
    assert found.keys() == compiled.initial.keys()


def test_what_the_frontends_give_has_a_gradient():
    """But what reading leaves none of."""
    left = {name for name, form in FORMS.items() if form.write is not None}
    assert [name for name in left if without_gradient(relax.Call(Op.get(name), []))] == []


def test_the_record_of_an_unknown_operator_says_nothing():
    call = op.sin(relax.const(1.0))
    assert operator_of(call).channels is None and operator_of(call).cheap
    assert operator_of(None) == operator_of(call)


def test_a_record_has_no_unknown_facts():
    with pytest.raises(TypeError, match="expensive"):
        describe("sin", expensive=True)
