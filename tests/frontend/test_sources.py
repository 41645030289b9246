"""What is one tensor in the file is one parameter, whatever forms it is read in."""

import numpy as np
import pytest
from importing import imported, result, weights
from tvm import relax
from tvm.relax import op

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.frontend.sources import moves_between
from tvm_ondevice_train.scheme.frozen_values import compute_frozen
from tvm_ondevice_train.scheme.sliced_model import slice_model
from tvm_ondevice_train.scheme.update_scheme import Channels, UpdateScheme
from tvm_ondevice_train.trainable import check_operators

ROW, PLANES = ((1, 4), "float32"), ((1, 3, 4, 5), "float32")
W = {"w": weights(4, 6)}
TURNED = weights(2, 3, 2, 2)


def there_and_back(emit, x, w):
    return emit(op.matmul(emit(op.matmul(x, w)), emit(op.permute_dims(w))))


def stored_twice(emit, x, w, other):
    return emit(op.matmul(emit(op.matmul(x, w)), other))


def turned_and_lifted(emit, x, w, kernel):
    column = emit(op.reshape(emit(op.matmul(x, w)), (1, 6, 1, 1)))
    return emit(op.nn.conv2d(column, emit(op.permute_dims(kernel, [1, 0, 2, 3]))))


def lifted(emit, x, w, other):
    y = emit(op.matmul(x, emit(op.reshape(other, (4, 6)))))
    return emit(op.add(y, emit(op.matmul(x, w))))


def kernels(emit, x, w, other):
    return emit(op.nn.conv2d(emit(op.nn.conv2d(x, w)), other))


def constants(emit, x):
    kernel = weights(3, 3, 1, 1)
    y = emit(op.nn.relu(emit(op.nn.conv2d(x, relax.const(kernel)))))
    return emit(op.nn.conv2d(y, relax.const(kernel)))


def codes_tied(emit, x, w):
    def read(scale, codes):
        zero = relax.const(0, "int8")
        return emit(op.dequantize(codes, relax.const(scale, "float32"), zero, 0, "float32"))

    y = emit(op.matmul(x, read(0.5, w)))
    return emit(op.matmul(y, read(0.5, emit(op.permute_dims(w)))))


CODES = {"w": np.arange(24, dtype=np.int8).reshape(4, 6)}


@pytest.mark.parametrize(
    "body, source_input, values, names",
    [
        (there_and_back, ROW, W, ["w"]),
        (stored_twice, ROW, W | {"other": W["w"].T.copy()}, ["w"]),
        (turned_and_lifted, ROW, W | {"other": W["w"].T[:, :, None, None].copy()}, ["w"]),
        (kernels, PLANES, {"w": TURNED, "other": TURNED.transpose(1, 0, 2, 3).copy()}, ["w"]),
        (lifted, ROW, W | {"other": W["w"].reshape(2, 2, 6).copy()}, ["w"]),
        (lifted, ROW, W | {"other": W["w"].copy()}, ["w", "other"]),
        (stored_twice, ROW, {"w": np.ones((4, 6), "f"), "other": np.ones((6, 4), "f")}, None),
        (constants, PLANES, {}, ["conv0.weight"]),
        (codes_tied, ROW, CODES, ["w"]),
    ],
    ids=[
        "transposed",
        "stored transposed",
        "stored as a kernel",
        "kernels",
        "stored in another shape",
        "alike at first",
        "alike by chance",
        "copied by TFLite",
        "codes",
    ],
)
def test_a_tensor_that_is_read_twice_is_one_parameter(body, source_input, values, names):
    source, model = imported(body, source_input, **values)
    assert sorted(model.parameters) == sorted(names or values)
    x = weights(*source_input[0], seed=5)
    expected = result(source, x, values)
    for one in (model, compute_frozen(model, [])):
        np.testing.assert_allclose(result(one.module, x, one.parameters), expected, rtol=1e-5)


def test_a_frozen_transpose_is_computed_at_compile_time():
    _, model = imported(there_and_back, ROW, **W)
    frozen = compute_frozen(model, [])
    assert list(frozen.parameters) == ["w", "w.computed"]
    assert compute_frozen(model, ["w"]) is model


def test_channels_of_a_weight_that_is_tied_to_its_transpose_are_refused():
    _, model = imported(there_and_back, ROW, **W)
    scheme = UpdateScheme({"w": Channels(count=2)})
    with pytest.raises(OdtError, match=r'"w" is not only the weight .* use "all" or "frozen"'):
        slice_model(model, scheme)


def test_tied_codes_do_not_train():
    _, model = imported(codes_tied, ROW, **CODES)
    check_operators(model, [])
    with pytest.raises(OdtError, match='"w": it is quantized and used in two forms'):
        check_operators(model, ["w"])


@pytest.mark.parametrize("scale, names", [(0.5, ["w"]), (0.25, None)])
def test_codes_have_one_scale(scale, names):
    def body(emit, x, w):
        zero = relax.const(0, "int8")
        for one in (0.5, scale):
            number = relax.const(one, "float32")
            x = emit(op.matmul(x, emit(op.dequantize(w, number, zero, 0, "float32"))))
        return x

    square = {"w": np.arange(16, dtype=np.int8).reshape(4, 4)}
    if names:
        assert list(imported(body, ROW, **square)[1].parameters) == names
        return
    with pytest.raises(OdtError, match=r'codes of parameter "w" are read at two scales'):
        imported(body, ROW, **square)


def test_forms_that_no_transpose_makes_of_one_another():
    def body(emit, x, w):
        # (2, 3) of the 6 columns turned, then cut across rows and columns
        turned = emit(op.permute_dims(emit(op.reshape(w, (4, 2, 3))), [1, 0, 2]))
        again = emit(op.reshape(emit(op.permute_dims(emit(op.reshape(turned, (4, 6))))), (6, 4)))
        return emit(op.matmul(emit(op.matmul(x, w)), again))

    with pytest.raises(OdtError, match=r'parameter "w" is used in two forms, .* store it twice'):
        imported(body, ROW, **W)


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("swap", [False, True])
def test_moves(axes, swap):
    first = np.arange(24).reshape(2, 3, 4)
    second = first.transpose(axes).reshape(-1, 4)
    pair = (second, first) if swap else (first, second)
    before, moved, after = moves_between(*pair)
    np.testing.assert_array_equal(pair[0].reshape(before).transpose(moved).reshape(after), pair[1])
