"""Which tensors share a numbering of their channels, and which numberings are fixed."""

import pytest
from test_channel_numbering import (
    CHANNELS,
    NETS,
    chain,
    concatenated,
    constants,
    depthwise,
    ends_in_a_sum,
    flattened,
    grouped,
    model_of,
    pooled,
    residual,
    squeezed,
)

from tvm_ondevice_train.scheme.channel_spaces import channel_spaces


def spaces_of(layers, quantized: bool = False):
    return channel_spaces(model_of(layers, quantized).module["main"])


def groups_of(spaces) -> list[str]:
    """The axes of parameters in each free space of several channels: "w1.0 w2.1"."""
    found = {}
    for name, axes in spaces.parameters.items():
        for axis, space in enumerate(axes):
            if space is not None and spaces.extent[space] > 1:
                found.setdefault(space, []).append(f"{name}.{axis}")
    return sorted(" ".join(sorted(members)) for members in found.values())


@pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize(
    "layers, expected",
    [
        (chain, ["b0.0 w0.0 w1.1", "b1.0 w1.0 w2.1"]),
        (
            residual,
            [
                "b0.0 b2.0 b4.0 w0.0 w1.1 w2.0 w3.1 w4.0 w5.1",  # along the sums
                "b1.0 w1.0 w2.1",
                "b3.0 w3.0 w4.1",
            ],
        ),
        (ends_in_a_sum, ["b1.0 w1.0 w2.1"]),
        (depthwise, ["b0.0 b1.0 w0.0 w1.0 w2.1"]),
        (concatenated, ["b0.0 w0.0 w1.1 w2.1"]),  # its operands and its result are fixed
        (squeezed, ["b0.0 b2.0 w0.0 w1.1 w2.0 w3.1", "b1.0 w1.0 w2.1"]),
        (flattened, ["b0.0 w0.0 w1.1"]),
        (pooled, ["b0.0 w0.0 w1.1", "b1.0 w1.0 w2.1"]),
        (grouped, ["b2.0 w2.0 w3.1"]),
        (constants, ["b0.0 w0.0 w1.1"]),
    ],
)
def test_what_shares_a_numbering(layers, expected, quantized):
    assert groups_of(spaces_of(layers, quantized)) == expected


@pytest.mark.parametrize("layers", NETS, ids=lambda layers: layers.__name__)
def test_every_axis_of_a_space_has_its_extent(layers):
    spaces = spaces_of(layers)
    for name, axes in spaces.parameters.items():
        for axis, space in enumerate(axes):
            if space is not None:
                shape = NETS[layers][int(name[1:])]
                assert spaces.extent[space] == shape[axis]
                assert spaces.of_channels(name, axis) == space


def test_scales_are_numbered_with_the_channels_that_they_belong_to():
    """Of the two layers between input and output: of the first the weight's and the bias's."""
    spaces = spaces_of(constants, quantized=True)
    entries = [entry for found in spaces.constants.values() for entry in found]
    (free,) = spaces.extent
    assert entries.count((1, 0, free)) == 2
    assert entries.count((1, 1, free)) == 1  # the factor for each channel


def test_a_depthwise_weight_has_one_space_and_no_columns():
    spaces = spaces_of(depthwise)
    rows, columns = spaces.parameters["w1"]
    assert spaces.extent[rows] == CHANNELS
    assert columns is None or spaces.extent[columns] == 1


def test_a_name_that_is_no_parameter_has_no_space():
    assert spaces_of(chain).of_channels("x", 1) is None
