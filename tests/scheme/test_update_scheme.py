"""Update schemes: sugar, files and what is refused."""

import json
import os
import re

import numpy as np
import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.scheme.update_scheme import Channels, Layer, UpdateScheme, resolve

LAYERS = (
    Layer("conv1", "conv1.weight", "conv1.bias"),
    Layer("conv2", "conv2.weight", None),
    Layer("conv3", "conv3.weight", "conv3.bias"),
    Layer("head", "head.weight", "head.bias"),
)
HEAD = ("head.weight", "head.bias")


def scheme_file(directory, **changes):
    content = {
        "format": "ondevice-train scheme",
        "version": 1,
        "parameters": {"conv3.weight": "all", "conv1.weight": "frozen"},
    }
    path = directory / "scheme.json"
    path.write_text(json.dumps(content | changes))
    return path


@pytest.mark.parametrize(
    "spec, trained",
    [
        (
            "full",
            ("conv1.weight", "conv1.bias", "conv2.weight", "conv3.weight", "conv3.bias", *HEAD),
        ),
        ("head", HEAD),
        ("last:1", ("conv3.weight", "conv3.bias", *HEAD)),
        ("last:2", ("conv2.weight", "conv3.weight", "conv3.bias", *HEAD)),
        ("bias:1", ("conv3.bias", *HEAD)),
        ("bias:2", ("conv1.bias", "conv3.bias", *HEAD)),
    ],
)
def test_sugar(spec, trained):
    assert resolve(spec, LAYERS).trained == trained


def test_slopes_train_with_the_layer_before_them():
    layers = (Layer("conv", "weight", None, ("slope", "slope2")), *LAYERS)
    assert resolve("full", layers).trained[:3] == ("weight", "slope", "slope2")
    assert resolve(UpdateScheme({"slope": "all"}), layers).trained == ("slope",)
    with pytest.raises(OdtError, match='only the weight of a layer trains by channel; use "all"'):
        resolve(UpdateScheme({"slope": Channels(count=1)}), layers)


def test_a_parameter_shared_by_two_layers_is_named_once():
    tied = (Layer("embed", "shared", None), Layer("head", "shared", "bias"))
    assert resolve("full", tied).trained == ("shared", "bias")


@pytest.mark.parametrize(
    "spec, message",
    [
        ("last:4", "the model has 3 layers before its head"),
        ("bias:3", "the model has 2 biases before its head"),
        ("last:0", "K must be a positive whole number"),
        ("last:-1", "K must be a positive whole number"),
        ("bias:", "K must be a positive whole number"),
        ("bias:1.5", "K must be a positive whole number"),
        ("last:\u0663", "K must be a positive whole number"),
        ("last", '"last" is unknown; allowed are full, head, last:K, bias:K'),
        ("Full", '"Full" is unknown'),
        ("", '"" is unknown'),
    ],
)
def test_wrong_sugar_is_refused(spec, message):
    with pytest.raises(OdtError, match=message):
        resolve(spec, LAYERS)


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(OdtError, match="no parameter trains"):
        resolve("full", (Layer("relu", None, None),))


def test_a_file_names_what_trains(tmp_path):
    path = scheme_file(tmp_path)
    assert resolve(str(path), LAYERS) == resolve(path, LAYERS)
    assert resolve(path, LAYERS).trained == ("conv3.weight",)


def test_saved_and_loaded_is_the_same_scheme(tmp_path):
    scheme = resolve("bias:2", LAYERS)
    scheme.save(tmp_path / "scheme.json")
    assert UpdateScheme.load(tmp_path / "scheme.json") == scheme
    assert os.listdir(tmp_path) == ["scheme.json"]
    assert resolve(scheme, LAYERS) is scheme


SUBSETS = [
    ({"channels": [1, 3, 4]}, Channels(indices=(1, 3, 4))),
    ({"ratio": 0.25}, Channels(ratio=0.25)),
    ({"ratio": 0.5, "rule": "first"}, Channels(ratio=0.5, rule="first")),
    ({"count": 12, "rule": "random", "seed": 7}, Channels(count=12, rule="random", seed=7)),
]


@pytest.mark.parametrize("entry, channels", SUBSETS)
def test_a_file_trains_some_channels(tmp_path, entry, channels):
    path = scheme_file(tmp_path, parameters={"conv3.weight": entry, "conv1.bias": "all"})
    scheme = resolve(path, LAYERS)
    assert scheme.parameters["conv3.weight"] == channels
    assert scheme.trained == ("conv3.weight", "conv1.bias")
    scheme.save(tmp_path / "again.json")
    assert UpdateScheme.load(tmp_path / "again.json") == scheme
    assert json.loads(scheme.to_json())["parameters"]["conv3.weight"] == entry


@pytest.mark.parametrize(
    "entry, channels",
    [
        ({"channels": [4, 1, 3]}, Channels(indices=(1, 3, 4))),
        ({"ratio": 1, "rule": "norm"}, Channels(ratio=1.0)),
        ({"count": 3, "rule": "random"}, Channels(count=3, rule="random", seed=0)),
    ],
)
def test_other_words_for_the_same_channels(entry, channels):
    assert Channels.from_json(entry) == channels
    assert Channels.from_json(channels.to_json()) == channels


def test_channels_from_numpy_are_saved_too():
    for channels in (Channels(indices=np.array([3, 1])), Channels(ratio=np.float32(0.5))):
        assert Channels.from_json(json.loads(json.dumps(channels.to_json()))) == channels


def test_the_head_is_added_by_name(tmp_path):
    scheme = resolve(scheme_file(tmp_path, head=True), LAYERS)
    assert scheme.trained == ("conv3.weight", *HEAD)
    assert resolve(scheme, LAYERS) is scheme
    assert resolve(UpdateScheme({}, head=True), LAYERS) == resolve("head", LAYERS)
    named = UpdateScheme({"head.weight": "all", "conv1.bias": "all"}, head=True)
    assert resolve(named, LAYERS).trained == ("head.weight", "conv1.bias", "head.bias")
    assert resolve(named, LAYERS[:1] + LAYERS[3:]) == resolve(named, LAYERS)


def test_an_unresolved_head_is_saved(tmp_path):
    for scheme in (UpdateScheme({}, head=True), UpdateScheme({"conv1.bias": "all"}, head=True)):
        scheme.save(tmp_path / "scheme.json")
        assert UpdateScheme.load(tmp_path / "scheme.json") == scheme


def test_an_interrupted_save_leaves_the_older_file(tmp_path, monkeypatch):
    path = scheme_file(tmp_path)
    before = path.read_text()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OdtError, match=r"cannot write .*: No space left"):
        resolve("head", LAYERS).save(path)
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["scheme.json"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "tar"}, '"format" must be "ondevice-train scheme"'),
        ({"version": 2}, "version 2 cannot be read, only version 1"),
        ({"version": None}, "version null cannot be read"),
        ({"parameters": ["conv3.weight"]}, '"parameters" must be an object'),
        ({"parameters": {}}, "no parameter trains"),
        ({"parameters": {"conv3.weight": "frozen"}}, "no parameter trains"),
        (
            {"parameters": {"conv3.weight": "some"}},
            '"conv3.weight" is "some"; allowed are "all", "frozen" and an object such as {"ratio"',
        ),
        (
            {"parameters": {"conv3.weight": [1, 2]}},
            r'"conv3.weight" is \[1, 2\]; allowed are "all"',
        ),
        (
            {"parameters": {"conv3.bias": {"count": 1}}},
            r'"conv3.bias" is {"count": 1}, but only the weight of a layer trains by channel',
        ),
        ({"parameters": {"a\nb": "all"}}, r'no parameter "a\\nb"'),
        ({"head": 1}, '"head" is 1; it must be true or false'),
        ({"heads": True}, '"heads" is unknown; allowed are format, version, head, parameters'),
        (
            {"head": True, "parameters": {"head.bias": "frozen"}},
            '"head" is true, so that parameter "head.bias" is "all"; leave it out',
        ),
        (
            {"head": True, "parameters": {"head.weight": {"count": 1}}},
            '"head" is true, so that parameter "head.weight" is "all"',
        ),
        ({"parameters": {"conv3.wieght": "all"}}, 'no parameter "conv3.wieght"; close: conv3.we'),
        ({"parameters": {"q": "all"}}, 'no parameter "q"; it has: conv1.weight, .* and 2 more'),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(OdtError, match=message) as error:
        resolve(scheme_file(tmp_path, **changes), LAYERS)
    assert "\n" not in str(error.value)


WRONG_CHANNELS = [
    ({}, '0 of "channels", "ratio" and "count" are given; it must be 1'),
    ({"rule": "first"}, "0 of"),
    ({"ratio": None}, "0 of"),
    ({"ratio": 0.5, "channels": [1]}, "2 of"),
    ({"ratio": 0.5, "count": 2}, "2 of"),
    *(
        ({"ratio": r}, "ratio is .*; it must be a number above 0, at most 1")
        for r in (0, -0.5, 1.01, "0.5", True, [0.5], float("nan"), float("inf"), 10**400)
    ),
    *(
        ({"count": c}, "count is .*; it must be an integer of at least 1")
        for c in (0, -1, 1.0, "3", True, [3], float("nan"))
    ),
    *(
        ({"channels": c}, "channels are .*; it must be a list of different integers")
        for c in ([], 3, "37", {}, [1, 1], [-1], [1.0], [True], [None], [[1]], [1, "2"])
    ),
    ({"ratio": 0.5, "rule": "best"}, 'rule is "best"; allowed are norm, first, random'),
    ({"ratio": 0.5, "rule": ["norm"]}, "rule is"),
    ({"ratio": 0.5, "rule": "random", "seed": -1}, "seed is -1; it must be an integer of at least"),
    ({"ratio": 0.5, "rule": "random", "seed": 0.5}, "seed is 0.5"),
    ({"ratio": 0.5, "seed": 0}, '"seed" does not belong here; allowed are "channels"'),
    ({"ratio": 0.5, "rule": "first", "seed": 0}, '"seed" does not belong here'),
    ({"channels": [1], "rule": "norm"}, '"rule" does not belong here'),
    ({"indices": [1]}, '"indices" does not belong here'),
    ({"ratio": 0.5, "long " * 99: 1}, '"long .*[.]{3} does not belong here'),
]


@pytest.mark.parametrize("entry, message", WRONG_CHANNELS)
def test_wrong_channels_are_refused_in_one_line(tmp_path, entry, message):
    path = scheme_file(tmp_path, parameters={"conv1.bias": "all", "conv3.weight": entry})
    with pytest.raises(OdtError, match=f'^scheme: parameter "conv3.weight": {message}') as error:
        resolve(path, LAYERS)
    line = str(error.value)
    assert "\n" not in line and len(line) < 400 + len(str(path))
    assert line.endswith(f"(in {path})")


@pytest.mark.parametrize(
    "choice",
    [{"ratio": 0.5, "seed": 3}, {"indices": (1,), "rule": "first"}, {"indices": (1,), "seed": 3}],
)
def test_a_rule_that_chooses_nothing_is_refused(choice):
    with pytest.raises(OdtError, match=re.escape("a rule or seed is given that chooses nothing")):
        Channels(**choice)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_scheme_is_refused(tmp_path, content):
    path = tmp_path / "scheme.json"
    path.write_bytes(content)
    with pytest.raises(OdtError, match=r"is not JSON|not a scheme file") as error:
        UpdateScheme.load(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(OdtError, match=r"cannot read .*nowhere.json: No such file"):
        resolve(str(tmp_path / "nowhere.json"), LAYERS)
