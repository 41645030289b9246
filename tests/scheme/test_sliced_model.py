"""A model cut into what trains and what does not still computes the same."""

import numpy as np
import pytest
from test_channel_numbering import NETS, forward, model_of, output_of, random_subsets, residual

from relay_passes.backward.split_parameters import channel_axis
from relay_passes.graph import consumers_of, shape_of
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.scheme.channel_choice import choose_channels
from tvm_ondevice_train.scheme.sliced_model import slice_model
from tvm_ondevice_train.scheme.update_scheme import ALL, FROZEN, Channels, UpdateScheme


def scheme_of(model, seed: int = 5) -> UpdateScheme:
    """Some channels of every weight, every bias."""
    parts = {n: Channels(indices=c) for n, c in random_subsets(model, seed).items()}
    return UpdateScheme(dict.fromkeys(model.parameters, ALL) | parts)


@pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("layers", NETS, ids=lambda layers: layers.__name__)
def test_outputs_are_the_same(layers, quantized):
    model = model_of(layers, quantized)
    sliced = slice_model(model, scheme_of(model))
    expected, found = output_of(layers, quantized), forward(sliced.model)
    assert sliced.source is model and expected.any()
    if quantized:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("layers", NETS, ids=lambda layers: layers.__name__)
def test_a_slice_says_where_each_trained_element_was(layers):
    model = model_of(layers)
    sliced = slice_model(model, scheme_of(model))
    assert sliced.slices.keys() == model.parameters.keys()
    for name, part in sliced.slices.items():
        whole, stored = model.parameters[name], sliced.model.parameters[name]
        assert part.shape == whole.shape
        assert part.put(np.zeros_like(whole), np.ones_like(stored)).sum() == stored.size
        np.testing.assert_array_equal(part.put(whole, stored), whole)


@pytest.mark.parametrize("layers", NETS, ids=lambda layers: layers.__name__)
def test_what_trains_are_the_chosen_channels(layers):
    model = model_of(layers)
    scheme = scheme_of(model)
    slices = slice_model(model, scheme).slices
    function = model.module["main"]
    for name, channels in choose_channels(scheme, model).items():
        parameter = next(p for p in function.params if p.name == name)
        axis, rows = channel_axis(consumers_of(function), parameter)
        kept = (slices[name].rows, slices[name].columns)[axis]
        assert sorted(kept // rows) == sorted(c for c in channels for _ in range(rows))


def test_the_module_takes_the_parameters_that_the_model_has():
    model = model_of(residual)
    sliced = slice_model(model, scheme_of(model))
    parameters = sliced.model.module["main"].params[1:]
    assert {p.name: shape_of(p) for p in parameters} == {
        name: value.shape for name, value in sliced.model.parameters.items()
    }
    frozen = {p.name for p in parameters} - set(model.parameters)
    assert frozen == {f"w{index}.frozen" for index in range(len(NETS[residual]))}


def test_a_scheme_of_whole_parameters_leaves_the_model_as_it_is():
    model = model_of(residual)
    scheme = UpdateScheme({"w1": ALL, "b1": ALL, "w3": FROZEN, "w4": Channels(ratio=1)})
    sliced = slice_model(model, scheme)
    assert list(sliced.slices) == ["w1", "b1", "w4"]
    assert all(part.is_whole for part in sliced.slices.values())
    assert sliced.model.parameters == model.parameters
    assert [p.name for p in sliced.model.module["main"].params] == ["x", *model.parameters]


def test_a_channel_that_is_not_there_is_refused():
    with pytest.raises(OdtError, match='"w1": channel 8 is out of range; the weight has 8'):
        slice_model(model_of(residual), UpdateScheme({"w1": Channels(indices=[8])}))
