"""The manifest of a compiled model, against the model that was planned."""

import numpy as np
import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.manifest import Manifest, from_json, to_json
from tvm_ondevice_train.scheme.update_scheme import Channels, UpdateScheme

QUANTIZED = pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])


def manifest(quantized: bool = False, scheme="full", **options) -> Manifest:
    return odt.compile(tiny.network(quantized), scheme=scheme, **options).manifest


@QUANTIZED
def test_trained_parameters_lie_as_in_the_state(quantized):
    compiled = odt.compile(tiny.network(quantized), scheme="full")
    trained = compiled.manifest.trained_parameters
    assert set(trained) == {"conv.weight", "conv.bias", "head.weight", "head.bias"}
    for slot in compiled.planned.slots:
        entry = trained[slot.name]
        assert entry.shape == entry.whole_shape == slot.value.shape
        assert (entry.offset, entry.dtype) == (slot.offset, str(slot.value.dtype))
        assert entry.rows is entry.columns is None
        assert (entry.scale is None) == (slot.value.dtype == "float32")


@QUANTIZED
def test_a_part_of_a_weight_says_which_elements_it_holds(quantized):
    """The head's channels are renumbered; so are the rows of the convolution that writes them."""
    scheme = UpdateScheme(
        {"conv.weight": Channels((1,)), "conv.bias": "all", "head.weight": Channels((1, 3))}
    )
    compiled = odt.compile(tiny.network(quantized), scheme=scheme, board="host")
    trained = compiled.manifest.trained_parameters
    order = (1, 3, 0, 2)
    assert {n: (e.whole_shape, e.rows, e.columns) for n, e in trained.items()} == {
        "conv.weight": ((4, 2, 3, 3), order, (1,)),
        "conv.bias": ((4,), order, None),
        "head.weight": ((3, 4, 1, 1), None, (1, 3)),
    }
    assert compiled.manifest.scheme == "custom"
    for slot in compiled.planned.slots:
        whole = compiled.initial[slot.name]
        np.testing.assert_array_equal(trained[slot.name].slice.put(whole, slot.value), whole)


def test_a_scale_for_each_row_follows_its_row():
    model = tiny.network(quantized=True, weight_scale=[0.01, 0.02, 0.03, 0.04])
    scheme = UpdateScheme({"conv.weight": "all", "head.weight": Channels((3,))})
    trained = odt.compile(model, scheme=scheme, board="host").manifest.trained_parameters
    assert trained["conv.weight"].rows == (3, 0, 1, 2)
    assert trained["conv.weight"].scale == pytest.approx((0.04, 0.01, 0.02, 0.03))
    assert trained["head.weight"].scale is None


@QUANTIZED
@pytest.mark.parametrize(
    ("options", "kind", "classes"),
    [({}, "label", 3), ({"classes": 7}, "label", 7), ({"loss": "mse"}, "values", None)],
)
def test_the_ends_are_those_of_the_model(quantized, options, kind, classes):
    found = manifest(quantized, board="host", **options)
    assert found.input == tiny.network(quantized).input
    assert found.output_shape == (1, classes or 3)
    assert found.target.kind == kind and found.classes == classes
    assert found.target.shape == ((1,) if kind == "label" else found.output_shape)
    assert (found.board, found.platform, found.transport) == ("host", None, None)
    assert found.made_from is None  # not of files


def test_saving_adds_how_it_runs_and_changes_nothing(tmp_path):
    compiled = odt.compile(tiny.network(), board="mps2-an500")
    before = to_json(compiled.manifest)
    for platform, transport in (("host", "stdio"), ("baremetal", "uart")):
        project = compiled.save(tmp_path / platform, platform, transport)
        found = from_json((project / "manifest.json").read_text())
        assert (found.platform, found.transport) == (platform, transport)
        assert found.model_hash == compiled.planned.model_hash
    assert to_json(compiled.manifest) == before
