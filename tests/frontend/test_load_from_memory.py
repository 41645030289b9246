"""Models that are in memory: of PyTorch, of ONNX."""

import numpy as np
import onnx
import pytest
import tiny
from onnx import TensorProto, helper

import tvm_ondevice_train as odt
from tvm_ondevice_train.errors import OdtError

torch = pytest.importorskip("torch")
X = torch.linspace(-1, 1, 12).reshape(1, 12)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(12, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)
    ).eval()


def agrees(model, network):
    (found,) = tiny.run(
        model.module, **{model.module["main"].params[0].name: X.numpy()}, **model.parameters
    )
    expected = network(X).detach().numpy()
    np.testing.assert_allclose(found.reshape(1, -1), expected, rtol=1e-5, atol=1e-6)


def test_a_module_with_an_example(network):
    agrees(odt.load(network, example=X), network)


def test_a_module_without_an_example(network):
    with pytest.raises(
        OdtError, match=r"^a torch.nn.Module does not say the shape of its input; load"
    ):
        odt.load(network)


def test_a_module_whose_own_code_fails(network):
    with pytest.raises(OdtError, match=r"^torch.export.export failed on the module"):
        odt.load(network, example=torch.zeros(1, 5))


def test_an_exported_program_compiles(network):
    compiled = odt.compile(torch.export.export(network, (X,)), board="host")
    assert compiled.model.name == "model" and "model.c" in compiled.files


def test_a_proto():
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 3)) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", *([v] for v in values))
    opset = [helper.make_opsetid("", 17)]
    model = odt.load(helper.make_model(graph, opset_imports=opset, ir_version=8))
    assert isinstance(graph, onnx.GraphProto) and model.input.shape == (1, 3)
