"""Operators of TFLite files that are one operator here, against LiteRT."""

import numpy as np
import pytest
import tflite
import tiny
from ai_edge_litert.interpreter import Interpreter
from tflite_files import gelu_options, one_operator

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.frontend import load

IMAGE = (1, 4, 5, 3)
GELU, PRELU = tflite.BuiltinOperator.GELU, tflite.BuiltinOperator.PRELU
SLOPES = np.array([0.25, -1.5, 3.0], np.float32)
FILES = {
    "GELU": (one_operator(GELU, IMAGE, options=gelu_options(False)), "nn.gelu"),
    "GELU, approximate": (one_operator(GELU, IMAGE, options=gelu_options(True)), "nn.gelu_tanh"),
    "PRELU": (one_operator(PRELU, IMAGE, SLOPES.reshape(1, 1, 3)), "nn.prelu"),
    "PRELU, one slope": (one_operator(PRELU, IMAGE, SLOPES[:1].reshape(1, 1, 1)), "nn.prelu"),
}


@pytest.mark.parametrize("content, operator", FILES.values(), ids=FILES)
def test_it_is_one_operator_and_computes_what_litert_does(content, operator, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    model = load(path)
    assert [name for name in tiny.op_names(model.module) if name != "permute_dims"] == [operator]
    x = np.random.default_rng(0).normal(size=IMAGE).astype(np.float32)
    parameters = dict(zip([p.name for p in model.module["main"].params], [x], strict=False))
    (found,) = tiny.run(model.module, **parameters, **model.parameters)
    reference = Interpreter(model_content=content)
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], x)
    reference.invoke()
    expected = reference.get_tensor(reference.get_output_details()[0]["index"])
    np.testing.assert_allclose(found.reshape(-1), expected.reshape(-1), rtol=1e-5, atol=2e-6)


def test_slopes_of_each_element_are_refused(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(one_operator(PRELU, IMAGE, np.ones(IMAGE[1:], np.float32)))
    with pytest.raises(OdtError, match=r"net: PRELU \(operator 0\): prelu needs constant slopes"):
        load(path)
