"""What a rule adds for layouts and dtypes that are not its own, and where it adds nothing."""

import pytest
import tiny
import tvm
from tvm import relax

from relay_passes import SparseBackward
from relay_passes.ops.masks import code_range

LAYOUTS = {"NHWC": (1, 5, 5, 2), "NCHW": (1, 2, 5, 5)}


def backward(data_shape, attrs, dtype="float32", weight_shape=(3, 2, 3, 3)):
    """Operators of the step that trains the weight of one convolution, and of its input."""

    def body(emit, x, _target, w, v):
        operands = [emit(relax.op.multiply(x, v)), w]
        if dtype != "float32":
            operands = [emit(relax.op.astype(operand, dtype)) for operand in operands]
        return emit(relax.op.sum(emit(relax.op.nn.conv2d(*operands, **attrs))))

    shapes = {"x": data_shape, "target": (1,), "w": weight_shape, "v": data_shape}
    module = tiny.module({name: (shape, "float32") for name, shape in shapes.items()}, body)
    return tiny.op_names(SparseBackward(["w", "v"], optimizer=None)(module))


def test_the_layout_and_dtype_of_a_rule_add_nothing():
    names = backward(LAYOUTS["NCHW"], {})
    assert "permute_dims" not in names and "astype" not in names


def test_another_layout_is_permuted_around_the_kernels():
    names = backward(LAYOUTS["NHWC"], {"data_layout": "NHWC"})
    # data, adjoint and the data's gradient; the weight is OIHW already
    assert names.count("permute_dims") == 3
    assert {"odt.conv2d_input_grad", "odt.conv2d_weight_grad"} <= set(names)


def test_narrow_floats_are_cast_around_the_kernels():
    names = backward(LAYOUTS["NCHW"], {"out_dtype": "float32"}, "float16")
    # forward: two operands; backward: those again, two gradients, and the way back to parameters
    assert names.count("astype") == 8


def test_a_layout_of_blocks_is_refused():
    attrs = {"data_layout": "NCHW2c", "kernel_layout": "OIHW2i"}
    message = 'relax.nn.conv2d has no gradient in layout "NCHW2c", only in permutations of "NCHW"'
    with pytest.raises(ValueError, match=message):
        backward((1, 1, 5, 5, 2), attrs, weight_shape=(3, 1, 3, 3, 2))


def test_extents_that_are_no_numbers_are_refused_by_name():
    height = tvm.tirx.Var("height", "int64")
    with pytest.raises(ValueError, match=r"relax.nn.conv2d has no gradient where .* height"):
        backward((1, 2, height, 5), {})


@pytest.mark.parametrize(
    "dtype, expected", [("int8", (-128, 127)), ("uint8", (0, 255)), ("uint16", (0, 65535))]
)
def test_range_of_codes(dtype, expected):
    assert code_range(dtype) == expected
