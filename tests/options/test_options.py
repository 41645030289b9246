"""Options as values: from plain ones, checked, and back to plain ones."""

import json
import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest

import tvm_ondevice_train as odt
from relay_passes.formats import FORMATS
from relay_passes.optimizers import SGD, Adam, Momentum
from relay_passes.within_memory import AUTO
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.losses import CROSS_ENTROPY, MSE, CrossEntropy, Huber
from tvm_ondevice_train.options import BACKWARDS, Options


def test_the_defaults():
    options = Options.of()
    assert options == Options() and options.optimizer == SGD() and options.loss is CROSS_ENTROPY
    with pytest.raises(FrozenInstanceError):
        options.scheme = "full"


def test_plain_values_become_options():
    found = Options.of(loss="mse", optimizer="momentum", momentum=0.5, learning_rate=0.1)
    assert found.loss is MSE and found.optimizer == Momentum(0.1, momentum=0.5)
    assert Options.of(learning_rate=0.3).optimizer == SGD(0.3)
    own = Momentum(0.1, momentum=0.5)
    assert Options.of(optimizer=own).optimizer == own
    assert Options.of(optimizer=own, learning_rate=0.2).optimizer == replace(own, learning_rate=0.2)
    assert Options.of(momentum=None, learning_rate=None, delta=None) == Options()
    assert Options.of(loss="huber", delta=2).loss == Huber(2.0)
    assert Options.of(loss=Huber(2.0)).loss == Huber(2.0)
    assert Options.of(label_smoothing=0.1).loss == CrossEntropy(label_smoothing=0.1)
    assert Options.of(loss="bce", classes=1).classes == 1


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"seed": 3}, "seed is 3, but it only draws the fresh head that classes make"),
        ({"classes": 1}, "classes is 1; a classifier needs an integer from 2 to 65,536"),
        ({"classes": 2.5}, "classes is 2.5; a classifier needs an integer"),
        ({"classes": True}, "classes is true; a classifier needs an integer"),
        ({"backward": "int4"}, 'backward is "int4"; allowed are auto, float32, int16'),
        ({"prefer": "beauty"}, 'prefer is "beauty"; allowed are memory, speed'),
        ({"loss": "hinge"}, 'unknown loss "hinge"; known are cross_entropy, bce'),
        ({"delta": 1}, "loss cross_entropy has no delta, but class_weights"),
        ({"loss": "huber", "delta": -1}, "delta is -1; it must be above 0, and finite"),
        (
            {"loss": "huber", "positive_weight": 2},
            "loss huber has no positive_weight, but delta; bce",
        ),
        ({"optimizer": "lion"}, 'optimizer is "lion"; allowed are adam, adamw, momentum, sgd'),
        ({"momentum": 0.9}, "optimizer sgd has no momentum"),
        ({"lr_scale": {"head": 0}}, 'lr_scale is {"head": 0}; it must be factors, above 0 and'),
        ({"state_dtype": "int8"}, "state_dtype is int8, but sgd keeps no state"),
        ({"lr_scale": 2}, "lr_scale is 2; it must be factors, above 0 and finite, by names"),
        ({"learning_rate": -1}, "learning_rate is -1; it must be 0 or more, and finite"),
        ({"learning_rate": 1e39}, "learning_rate is 1e+39; it must be 0 or more, and finite, as"),
        ({"learning_rate": 10**400}, "it must be 0 or more, and finite, as a float32"),
        (
            {"learning_rate": 1e-50},
            "learning_rate is 1e-50; it must be 0 or more, and finite, as",
        ),
        ({"classes": 100_000_000}, "an integer from 2 to 65,536"),
        ({"sram_bytes": 0}, "sram_bytes is 0; it must be a number of bytes above 0"),
        ({"flash_bytes": "1MB"}, 'flash_bytes is "1MB"; it must be a number of bytes above 0'),
        ({"batch": 0}, "batch is 0; a batch has an integer from 1 to 16,777,215 samples"),
        ({"batch": 2.5}, "batch is 2.5; a batch has an integer"),
        ({"batch": 4, "accumulator": "int4"}, "allowed are auto, float32, int16"),
        ({"accumulator": "int16"}, "accumulator is int16, but only a batch has sums; give batch"),
        ({"clip_norm": -1}, "clip_norm is -1; it must be 0 or more, and finite"),
        ({"classes": 2, "class_names": 3}, "class_names is 3; it must be names, separated"),
        ({"seed": -1}, "seed is -1; it must be an integer of at least 0"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(keywords, message):
    with pytest.raises(OdtError, match=re.escape(message)) as caught:
        Options.of(**keywords)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="colour"):
        odt.compile("net.onnx", colour="red")
    with pytest.raises(TypeError, match="not both"):
        odt.compile("net.onnx", Options(), classes=3)


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(classes=4, scheme="bias:2", loss=MSE, sram_bytes=1000, rollback=False),
        Options(optimizer=Adam(state_dtype="int8")),
        Options(classes=2, class_names=("a", "b"), file_class_names=("b", "c"), seed=3),
        Options(optimizer=Momentum(0.1, momentum=0.5, weight_decay=0.01), backward="float8"),
        Options(optimizer=Adam(lr_scale={"head": 2, "*.bias": 0.5})),
        Options(loss=Huber(0.5)),
        Options(loss=CrossEntropy((1, 2.5), label_smoothing=0.1, ignore_index=-1)),
    ],
)
def test_options_survive_json(options):
    assert Options.of(**json.loads(json.dumps(options.to_json()))) == options


def test_what_does_not_decide_numbers_stays_out_of_json():
    plain = Options(classes=4, seed=3, tuning="t.json", dump_ir="ir").to_json()
    assert not {"tuning", "dump_ir"} & plain.keys() and plain["seed"] == 3


def test_values_of_a_program_have_no_plain_form():
    assert Options(scheme=odt.UpdateScheme({"w": "all"})).to_json() is None

    class Mine(type(MSE)):
        name = "mine"

    assert Options(loss=Mine()).to_json() is None
    assert Options(loss=replace(MSE)).to_json() is not None


def test_each_option_is_described_once():
    assert all(entry.metadata["help"] in Options.__doc__ for entry in fields(Options))


def test_the_formats_are_those_of_the_passes():
    assert list(BACKWARDS) == [AUTO, "float32", "int16", *FORMATS]
