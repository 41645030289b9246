"""A manifest says nothing that contradicts itself, wherever it is made."""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from fake_project import CLASSES, INPUTS, MANIFEST

from tvm_ondevice_train.boards import board, boards
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.losses import CrossEntropy
from tvm_ondevice_train.manifest import PLATFORMS, Target, TrainedParameter, transports

VALUES = {"loss": "mse", "classes": None, "target": Target("values", (1, CLASSES))}
WEIGHT = TrainedParameter((2, 1, 3), "int8", 8, (0.5,), (4, 2, 3), (3, 0), (1,))


def test_sizes_are_those_of_the_c():
    assert MANIFEST.sample_shape == (INPUTS,) and MANIFEST.input_bytes == INPUTS
    assert MANIFEST.output_bytes == 4 * CLASSES and MANIFEST.target.nbytes == 4
    assert MANIFEST.parameter_bytes == 4 * (CLASSES * INPUTS + CLASSES)
    assert replace(MANIFEST, trained_parameters={}).parameter_bytes == 0
    assert (WEIGHT.nbytes, WEIGHT.end) == (6, 14)


def test_a_trained_parameter_says_what_it_holds():
    whole = np.arange(24).reshape(4, 2, 3)
    np.testing.assert_array_equal(WEIGHT.slice.take(whole), whole[[3, 0]][:, [1]])
    assert not WEIGHT.slice.is_whole
    assert MANIFEST.trained_parameters["weight"].slice.is_whole


def test_a_manifest_is_a_value():
    assert MANIFEST == replace(MANIFEST) != replace(MANIFEST, model_hash=1)
    with pytest.raises(FrozenInstanceError):
        MANIFEST.model = "other"


@pytest.mark.parametrize("row", boards(), ids=lambda row: row.name)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_board_has_its_platforms_and_their_transports(row, platform):
    def running(transport):
        return replace(MANIFEST, board=row.name, platform=platform, transport=transport)

    if platform != "host" and platform not in row.platforms:
        with pytest.raises(OdtError, match=f"{row.name} has no platform {platform}; it has"):
            running("uart")
        return
    for transport in transports(row, platform):
        assert running(transport).transport == transport
    with pytest.raises(OdtError, match="no transport pigeon on"):
        running("pigeon")


def test_an_emulated_board_talks_by_semihosting_unless_told_otherwise():
    assert transports(board("mps2-an500"), "baremetal") == ("semihosting", "uart")
    assert transports(board("mps2-an500"), "host") == ("stdio",)
    assert transports(board("native_sim"), "zephyr") == ("uart",)


MAP = replace(
    MANIFEST,
    classes=3,
    output_shape=(1, 3, 2, 4),
    target=Target("label_map", (1, 2, 4), 255),
    loss_parameters={"ignore_index": 255},
)


def test_a_map_of_labels():
    assert MAP.target.nbytes == 32 and MAP.output_bytes == 96
    assert MAP.known_loss == CrossEntropy(ignore_index=255)
    for change, message in [
        ({"classes": 4}, "classes is 4; target and output_shape give 3"),
        ({"target": Target("label_map", (1, 2, 3))}, "must have 8 entries"),
        ({"target": Target("label_map", (1, 2, 4), 2)}, "target.ignored is 2; only a map has one"),
        ({"target": Target("label", (1,))}, "loss cross_entropy has label_map"),
        ({"loss": "mine", "output_shape": (1, 3)}, "a map of labels has 4 axes"),
    ]:
        with pytest.raises(OdtError, match=message):
            replace(MAP, **change)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({}, math.log(CLASSES)),
        ({"loss_parameters": {"class_weights": [3.0] + [1.0] * 9}}, 3 * math.log(CLASSES)),
        ({"loss": "mine"}, None),
        (VALUES, None),
        ({**VALUES, "loss": "bce", "target": Target("probabilities", (1, CLASSES))}, math.log(2)),
    ],
)
def test_the_loss_of_a_guess(change, expected):
    assert replace(MANIFEST, **change).guess() == (expected and pytest.approx(expected))


def test_classes_that_are_not_in_use_are_none_of_the_guess():
    growing = replace(MANIFEST, active_classes=4, unused="bias")
    learned = {"bias": np.array([0] * 6 + [-1e30] * 4, np.float32)}
    assert growing.classes_in_use(learned) == 6 and MANIFEST.classes_in_use(learned) == CLASSES
    assert growing.classes_in_use({"bias": np.zeros(CLASSES, np.float32)}) == CLASSES
    assert growing.guess(6) == pytest.approx(math.log(6))
    assert MANIFEST.guess(6) == pytest.approx(math.log(CLASSES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 3}, "classes is 3; target and output_shape give 10"),
        ({"target": Target("values", (1, CLASSES))}, "target.kind is values"),
        ({"stack_bytes": 100}, "stack_bytes is 100; it must be a multiple of 32 from 1024 up"),
        ({"stack_bytes": 4097}, "stack_bytes is 4097; it must be"),
        (
            {"trained_parameters": {"a": WEIGHT, "b": replace(WEIGHT, offset=13)}},
            r'"b".* with .*"a"',
        ),
        ({"active_classes": 4}, "only one of active_classes and unused is given"),
        ({"unused": "bias"}, "only one of active_classes and unused is given"),
        ({"active_classes": 11, "unused": "bias"}, "active_classes is 11; classes is 10"),
        ({"active_classes": 4, "unused": "weight"}, 'unused is "weight"; it must be 10 float32'),
        ({"imprinted": "counts"}, 'imprinted is "counts"; it must be 10 float32 numbers'),
    ],
)
def test_what_contradicts_itself_cannot_be_made(change, message):
    with pytest.raises(OdtError, match=message):
        replace(MANIFEST, **change)
