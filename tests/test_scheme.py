"""Update schemes: sugar, files and what is refused."""

import json
import os

import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.scheme import Layer, UpdateScheme, resolve

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


def test_an_interrupted_save_leaves_the_older_file(tmp_path, monkeypatch):
    path = scheme_file(tmp_path)
    before = path.read_text()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OdtError, match="cannot write .*: No space left"):
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
            {"parameters": {"conv3.weight": {"ratio": 0.5}}},
            r'"conv3.weight" is {"ratio": 0.5}; allowed are "all" and "frozen"',
        ),
        ({"parameters": {"conv3.wieght": "all"}}, 'no parameter "conv3.wieght"; close: conv3.we'),
        ({"parameters": {"q": "all"}}, 'no parameter "q"; it has: conv1.weight, .* and 2 more'),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(OdtError, match=message) as error:
        resolve(scheme_file(tmp_path, **changes), LAYERS)
    assert "\n" not in str(error.value)


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
