"""The model's own int8 head as float32: its values, when it is taken, what is refused."""

import int8_heads
import numpy as np
import pytest
import tiny
import torch

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.export.onnx_writer import onnx_bytes
from tvm_ondevice_train.export.reading import read_parameters
from tvm_ondevice_train.float_head import AS_FLOAT, TOO_LARGE, int8_head, with_float_head
from tvm_ondevice_train.training_graph import loss_module

HEAD = ("head.weight", "head.bias")
HOST = find_board("host")


def real(name, codes):
    return (codes * np.float64(np.float32(int8_heads.SCALES[name]))).astype(np.float32)


def test_its_parameters_are_the_values_that_the_codes_stand_for():
    model = int8_heads.network()
    changed = with_float_head(model)
    assert int8_head(model) == HEAD and int8_head(changed) == ()
    assert list(changed.parameters) == list(model.parameters)
    for name, codes in model.parameters.items():
        expected = real(name, codes) if name in HEAD else codes
        assert changed.parameters[name].dtype == expected.dtype
        np.testing.assert_array_equal(changed.parameters[name], expected)
    assert [layer.parameters for layer in changed.layers] == [
        layer.parameters for layer in model.layers
    ]


@pytest.mark.parametrize("output", [0.002, 1.0])  # which clamps int8 outputs, or rounds them
def test_it_computes_what_the_layer_would_without_quantizing(output):
    model = with_float_head(int8_heads.network(output))
    module = loss_module(model, "cross_entropy", with_output=True)
    for seed in range(3):
        x = np.random.default_rng(seed).integers(-128, 128, (1, 4, 1, 1), dtype=np.int8)
        found, _ = tiny.run(module, x=x, target=np.array([1], np.int32), **model.parameters)
        weight, bias = (
            real(f"conv.{n}", model.parameters[f"conv.{n}"]) for n in ("weight", "bias")
        )
        data = torch.tensor(x.reshape(1, 4) * np.float32(int8_heads.INPUT))
        hidden = torch.nn.functional.linear(
            data, torch.tensor(weight.reshape(8, 4)), torch.tensor(bias)
        )
        hidden = torch.fake_quantize_per_tensor_affine(
            hidden.relu(), int8_heads.HIDDEN, -128, -128, 127
        )
        weight, bias = (torch.tensor(model.parameters[n]).squeeze() for n in HEAD)
        expected = torch.nn.functional.linear(hidden, weight, bias)
        np.testing.assert_allclose(found.reshape(1, 3), expected.numpy(), rtol=1e-5, atol=1e-5)


def compiled(**options):
    return odt.compile(int8_heads.network(), board="host", **options)


@pytest.mark.parametrize(
    ("options", "head", "dtype"),
    [
        ({}, AS_FLOAT, "float32"),
        ({"head": "float"}, AS_FLOAT, "float32"),
        ({"head": "int8"}, None, "int8"),
        ({"scheme": "full", "head": "int8"}, None, "int8"),
    ],
)
def test_what_each_option_makes_of_the_head(options, head, dtype):
    made = compiled(**options)
    assert made.report["head"] == head
    assert made.report["trained_parameters"]["head.weight"]["dtype"] == dtype


def test_a_fresh_head_is_what_it_was():
    assert compiled(classes=4).report["head"] is None
    assert "--head-start file" in compiled(classes=3).report["head"]


def test_a_head_that_does_not_train_stays_int8():
    scheme = odt.UpdateScheme({"conv.bias": "all"})
    assert compiled(scheme=scheme).report["head"] is None
    assert compiled(scheme=scheme, head="float").report["head"] == AS_FLOAT


def test_a_head_that_does_not_fit_stays_int8():
    """By 3 bytes in 4 of what trains; or at once, by its parameters alone."""
    sizes = {head: compiled(head=head).report["peak_sram_bytes"] for head in ("float", "int8")}
    assert sizes["float"] > sizes["int8"]
    made = compiled(sram_bytes=sizes["float"] - 1)
    assert made.report["head"] == TOO_LARGE
    assert made.report["peak_sram_bytes"] == sizes["int8"]
    with pytest.raises(OdtError, match="bytes of SRAM"):
        compiled(sram_bytes=sizes["float"] - 1, head="float")
    with pytest.raises(OdtError, match="bytes of SRAM"):
        compiled(sram_bytes=50)


@pytest.mark.parametrize(
    ("quantized", "head", "message"),
    [
        (True, "float", "does not end in an int8 layer that could be carried over as float32"),
        (False, "int8", "its last layer is not int8; leave out --head int8"),
    ],
)
def test_a_head_that_is_not_int8_cannot_be_carried_over(quantized, head, message):
    with pytest.raises(OdtError, match=message):
        odt.compile(tiny.network(quantized), board="host", head=head)


def test_the_file_of_the_int8_model_gives_its_values_to_a_project(tmp_path):
    model, path = int8_heads.network(), tmp_path / "int8_head.onnx"
    path.write_bytes(onnx_bytes(model))
    project = odt.compile(path, board="host").save(tmp_path / "project")
    given = read_parameters(path, project)
    assert {name: value.dtype for name, value in given.items()} == dict.fromkeys(HEAD, np.float32)
    for name, value in given.items():
        np.testing.assert_array_equal(value, real(name, model.parameters[name]))
