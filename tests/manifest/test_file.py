"""manifest.json: what was written is read again, and whatever else lies there is one line."""

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_passes.optimizers import Momentum
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.manifest import (
    NAME,
    Batches,
    MadeFrom,
    Manifest,
    StateTensor,
    Target,
    TrainedParameter,
    from_json,
    read_manifest,
    to_json,
)
from tvm_ondevice_train.options import Options
from tvm_ondevice_train.tensor_spec import TensorSpec

ORDER = (1, 3, 0, 2)
VALID = Manifest(
    model="net",
    model_hash=0x1234ABCD,
    scheme="custom",
    board="mps2-an500",
    loss="cross_entropy",
    classes=3,
    input=TensorSpec((1, 2, 6, 6), "int8", 0.1, -3),
    output_shape=(1, 3),
    target=Target("label", (1,)),
    trained_parameters={
        "head.bias": TrainedParameter((3,), "float32", 0, None, (3,), None, None),
        "conv.bias": TrainedParameter((4,), "int32", 12, (0.001,), (4,), ORDER, None),
        "conv.weight": TrainedParameter(
            (4, 1, 3, 3), "int8", 28, (0.1, 0.2, 0.3, 0.4), (4, 2, 3, 3), ORDER, (1,)
        ),
    },
    stack_bytes=2048,
    optimizer="momentum",
    optimizer_states={"head.bias.velocity": StateTensor((3,), 64)},
    hyperparameters={"momentum": 76},
    batches=Batches(96, 100, {"head.bias.accumulator": StateTensor((3,), 80, "int16")}),
    made_from=MadeFrom(
        model="net.onnx",
        options=Options(
            scheme="scheme.json", classes=3, optimizer=Momentum(0.02), flash_bytes=1 << 20
        ),
    ),
    platform="baremetal",
    transport="semihosting",
)
TEXT = to_json(VALID)
GONE = object()
WEIGHT = ("trained_parameters", "conv.weight")
BIAS = ("trained_parameters", "conv.bias")
SUMS = ("batches", "sums", "head.bias.accumulator")
STATE = ("optimizer_states", "head.bias.velocity")


def changed(path: tuple, value) -> str:
    """The valid text with something else, or `GONE`, at `path`."""
    content = json.loads(TEXT)
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    if value is GONE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return json.dumps(content)


def line(error) -> str:
    text = str(error.value)
    assert len(text.splitlines()) == 1 and len(text) < 700, text
    return text


def refused(text: str) -> str:
    with pytest.raises(OdtError) as error:
        from_json(text)
    return line(error)


def test_what_was_written_is_read():
    assert from_json(TEXT) == VALID
    assert json.loads(TEXT)["format"] == "ondevice-train manifest"
    assert max(map(len, TEXT.splitlines())) < 800  # a line each field and each parameter
    without = Manifest(**{**vars(VALID), "made_from": None, "trained_parameters": {}})
    assert from_json(to_json(without)) == without


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("format",), "ondevice-train scheme", 'format is "ondevice-train scheme"; it must be "on'),
        (("format",), GONE, "format is null; it must be"),
        (("version",), 2, "a newer release made it: version is 2; it must be 1"),
        (("version",), 0, "an older release made it: version is 0; it must be 1"),
        (("version",), "1", 'version is "1"; it must be an integer from 0 up'),
        (("version",), True, "version is true; it must be an integer"),
        (("version",), 1.0, "version is 1.0; it must be an integer"),
        (("model_hash",), GONE, "model_hash is missing"),
        (("input", "scale"), GONE, "input.scale is missing"),
        ((*WEIGHT, "rows"), GONE, 'trained_parameters["conv.weight"].rows is missing'),
        (("arena_bytes",), 9, '"arena_bytes" is unknown; allowed are model, model_hash,'),
        (("target", "count"), 1, 'target."count" is unknown; allowed are kind, shape'),
        (("model",), None, "model is null; it must be a string"),
        (("model_hash",), "12", 'model_hash is "12"; it must be an integer from 0 to 4,294,967,29'),
        (("model_hash",), None, "model_hash is null"),
        (("model_hash",), True, "model_hash is true"),
        (("model_hash",), 12.0, "model_hash is 12.0"),
        (("model_hash",), -1, "model_hash is -1; it must be an integer from 0"),
        (("model_hash",), 1 << 32, "model_hash is 4294967296"),
        (("model_hash",), 10**4000, "model_hash is 1000000"),
        (("stack_bytes",), 0, "stack_bytes is 0; it must be an integer from 1,024"),
        (("stack_bytes",), -32, "stack_bytes is -32"),
        (("stack_bytes",), 2049, "stack_bytes is 2049; it must be a multiple of 32"),
        (("stack_bytes",), math.inf, "stack_bytes is Infinity"),
        (("input",), [], "input is []; it must be an object"),
        (("input", "scale"), math.nan, "input.scale is NaN; it must be a number from"),
        (("input", "scale"), -math.inf, "input.scale is -Infinity"),
        (("input", "scale"), 0, "input.scale is 0; it must be a number from"),
        (("input", "scale"), 1e39, "input.scale is 1e+39; it must be a number from 1.17549e-38 to"),
        (("input", "scale"), True, "input.scale is true"),
        (("input", "scale"), None, "input has only one of scale and zero_point"),
        (("input", "zero_point"), 128, "input.zero_point is 128; it must be an integer from -128"),
        (("input", "dtype"), "uint8", 'input.dtype is "uint8"; it must be one of float32, int8'),
        (("input", "dtype"), "float32", "input is float32 and has a scale"),
        (("input", "shape"), [1, 2, 0, 6], "input.shape[2] is 0; it must be an integer from 1"),
        (("input", "shape"), [1, 2, -6, 6], "input.shape[2] is -6"),
        (("input", "shape"), [1, 2, 6.0, 6], "input.shape[2] is 6.0"),
        (("input", "shape"), [1] * 9, "input.shape is [1, 1, 1, 1, 1, 1, 1, 1, 1]; it must be a"),
        (("input", "shape"), [], "input.shape is []; it must be a list of 1 to 8 entries"),
        (("input", "shape"), [1, 1 << 20, 1 << 20], "a device has 4,294,967,295 bytes"),
        (("input", "shape"), [2, 2, 6, 6], "its first entry, the batch, must be 1"),
        (("input", "shape"), "1x2", 'input.shape is "1x2"; it must be a list'),
        (("board",), "teapot", 'board is "teapot"; it must be one of host, mps2-an500,'),
        (("board",), ["host"], 'board is ["host"]'),
        (("board",), "host", "board host has no platform baremetal; it has host"),
        (("platform",), "arduino", 'platform is "arduino"; it must be one of host, baremetal, ze'),
        (("platform",), None, "platform is null"),
        (("platform",), "host", "no transport semihosting on mps2-an500, host; allowed: stdio"),
        (("platform",), "zephyr", "board mps2-an500 has no platform zephyr; it has baremetal"),
        (("transport",), "pigeon", 'transport is "pigeon"; it must be one of stdio, semihosting'),
        (("transport",), "stdio", "no transport stdio on mps2-an500, baremetal; allowed: semiho"),
        (("loss",), 5, "loss is 5; it must be a string"),
        (("loss",), "mse", "target.kind is label; loss mse has values"),
        (("target", "kind"), "image", 'target.kind is "image"; it must be one of label, label_map'),
        (("target", "kind"), "values", "target.kind is values; loss cross_entropy has label"),
        (
            ("target", "shape"),
            [2],
            "target.shape is [2]; label for an output of [1, 3] must have 1",
        ),
        (("target", "ignored"), 255, "target.ignored is 255; only a map has one, of no class"),
        (("target", "ignored"), 0.5, "target.ignored is 0.5; it must be an integer from -2,147"),
        (("loss_parameters",), {"delta": 1}, "loss cross_entropy has no delta, but class_weights"),
        (
            ("loss_parameters",),
            {"class_weights": [1, 2]},
            "class_weights has 2 numbers; the output",
        ),
        (("loss_parameters",), {"class_weights": [math.nan]}, "class_weights is [NaN]; it must be"),
        (("loss_parameters",), [], "loss_parameters is []; it must be an object"),
        (("classes",), 4, "classes is 4; target and output_shape give 3"),
        (("classes",), None, "classes is null; target and output_shape give 3"),
        (("classes",), 0, "classes is 0; it must be an integer from 1"),
        (("output_shape",), [1, 4], "classes is 3; target and output_shape give 4"),
        (("output_shape",), [3], "output_shape is [3]; its first entry, the batch, must be 1"),
        (("output_shape",), [[1], [3]], "output_shape[0] is [1]; it must be an integer"),
        (("trained_parameters",), [1], "trained_parameters is [1]; it must be an object"),
        (BIAS, None, 'trained_parameters["conv.bias"] is null; it must be an object'),
        ((*BIAS, "dtype"), "float64", ".dtype is "),
        ((*BIAS, "dtype"), "float32", "scale has 1 entries, for float32 of shape [4]; integers"),
        ((*BIAS, "shape"), [5], "shape is [5]; whole_shape, rows and columns give [4]"),
        ((*WEIGHT, "shape"), [4, 2, 3, 3], "shape is [4, 2, 3, 3]; whole_shape, rows and columns"),
        ((*WEIGHT, "shape"), [4, 0, 3, 3], '["conv.weight"].shape[1] is 0; it must be an integer'),
        ((*WEIGHT, "whole_shape"), [4, 2, 9], "whole_shape, rows and columns give [4, 1, 9]"),
        ((*WEIGHT, "whole_shape"), [4], "columns are given, but whole_shape is [4]"),
        ((*BIAS, "offset"), -4, ".offset is -4; it must be an integer from 0"),
        ((*BIAS, "offset"), 13, "offset is 13, where no int32 can lie"),
        ((*BIAS, "offset"), 8, '["conv.bias"] overlaps with trained_parameters["head.bias"]'),
        ((*BIAS, "offset"), 0, "overlaps with"),
        ((*BIAS, "offset"), (1 << 32) - 8, "ends at byte 4,294,967,304; a device has"),
        ((*BIAS, "offset"), 12.0, ".offset is 12.0"),
        ((*WEIGHT, "scale"), [0.1, 0.2], "scale has 2 entries, for int8 of shape [4, 1, 3, 3]"),
        ((*WEIGHT, "scale"), [], ".scale is []; it must be a list of 1 or more entries"),
        ((*WEIGHT, "scale"), 0.1, ".scale is 0.1; it must be a list"),
        ((*WEIGHT, "scale"), [math.nan], ".scale[0] is NaN; it must be a number from 0"),
        ((*WEIGHT, "scale"), [-0.1], ".scale[0] is -0.1"),
        ((*WEIGHT, "scale"), ["0.1"], '.scale[0] is "0.1"'),
        ((*WEIGHT, "rows"), [1, 3, 0, 4], "rows has 4; whole_shape allows 0 to 3"),
        ((*WEIGHT, "rows"), [1, 3, 0, -1], ".rows[3] is -1; it must be an integer from 0"),
        ((*WEIGHT, "rows"), [1, 3, 0, 0], "rows has an entry twice"),
        ((*WEIGHT, "rows"), [1, 3, 0], "shape is [4, 1, 3, 3]; whole_shape, rows and columns give"),
        ((*WEIGHT, "rows"), [], ".rows is []; it must be a list of 1 or more entries"),
        ((*WEIGHT, "rows"), {"0": 1}, ".rows is an object; it must be a list"),
        ((*WEIGHT, "columns"), [2], "columns has 2; whole_shape allows 0 to 1"),
        ((*WEIGHT, "columns"), [0, 1], "shape is [4, 1, 3, 3]; whole_shape, rows and columns give"),
        ((*WEIGHT, "columns"), [1.0], ".columns[0] is 1.0; it must be an integer"),
        ((*WEIGHT, "columns"), [[1]], ".columns[0] is [1]"),
        ((*BIAS, "columns"), [0], "columns are given, but whole_shape is [4]"),
        (("made_from", "options", "rollback"), 1, "rollback is 1; it must be true or false"),
        (("made_from", "options", "classes"), 1, "options: classes is 1; a classifier needs an"),
        (("made_from", "options", "learning_rate"), -1, "learning_rate is -1; it must be 0 or"),
        (("made_from", "options", "momentum"), 1, "momentum is 1; it must be 0 or more, and below"),
        (("made_from", "options", "optimizer"), "lion", 'optimizer is "lion"; allowed are'),
        (("made_from", "options", "optimizer"), [], "optimizer is []; it must be a name"),
        (("made_from", "options", "scheme"), 3, "scheme is 3; it must be a name, a file or"),
        (("made_from", "options", "colour"), 3, 'unknown option "colour"; known are'),
        (("made_from", "options"), None, "made_from.options is null; it must be an object"),
        (("optimizer",), None, "optimizer is null; it must be a string"),
        (("optimizer_states",), [], "optimizer_states is []; it must be an object"),
        (STATE, {"shape": [3], "offset": 66}, "offset is 66, where no float32 can lie"),
        (STATE, {"shape": [3], "offset": 60}, "overlaps with"),
        (STATE, {"shape": [3]}, "offset is missing"),
        (("batches",), {}, "batches.size is missing"),
        ((*SUMS, "offset"), 81, "offset is 81, where no int16 can lie"),
        ((*SUMS, "offset"), 78, "overlaps with"),
        ((*SUMS, "dtype"), "float16", "must be"),
        (("batches", "size"), 76, "overlaps with batches.size"),
        (("batches", "count"), 2, "batches.count is 2; it must be a multiple of 4"),
        (("hyperparameters", "momentum"), 0, "overlaps with"),
        (("hyperparameters", "momentum"), 0.5, 'hyperparameters["momentum"] is 0.5; it must be'),
        (("made_from", "options", "loss"), "hinge", 'unknown loss "hinge"; known are'),
        (("made_from", "options", "sram_bytes"), 0, "sram_bytes is 0; it must be a number of"),
        (("made_from",), "net.onnx", 'made_from is "net.onnx"; it must be an object'),
        (("not_in_onnx",), False, "not_in_onnx is false; it must be a string"),
    ],
)
def test_a_field_that_cannot_be_is_named_with_what_is_allowed(path, value, expected):
    assert expected in refused(changed(path, value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it is not JSON: Expecting value"),
        ("{", "it is not JSON: "),
        (TEXT[:-20], "it is not JSON: "),
        (TEXT + "}", "it is not JSON: Extra data"),
        ("[1, 2]", "it holds [1, 2]; it must hold an object"),
        ("null", "it holds null; it must hold an object"),
        ("{}", "format is null; it must be"),
        ("[" * 200_000, "it is nested too deeply"),
        ('{"a":' * 200_000, "it is nested too deeply"),
        ('{"version": ' + "9" * 5000 + "}", "it is not JSON: "),
        (
            "[" + "[], " * 200_000 + "[]]",
            "it holds a list of lists or objects; it must hold an obj",
        ),
        ('{"format": "' + "a" * 200_000 + '"}', 'format is "aaaaaa'),
        (TEXT.replace('"net"', '"net\n"'), "it is not JSON: Invalid control character"),
    ],
    ids=range(13),
)
def test_a_text_that_is_no_manifest_is_refused(text, expected):
    assert expected in refused(text)


# -- the file -------------------------------------------------------------------------------------


def unreadable(directory) -> str:
    with pytest.raises(OdtError) as error:
        read_manifest(directory)
    return line(error)


def test_the_file_is_named_and_what_to_do(tmp_path):
    path = tmp_path / NAME
    path.write_text(TEXT)
    assert read_manifest(tmp_path) == read_manifest(str(tmp_path)) == VALID
    for content, expected in {
        changed(("classes",), 4).encode(): "classes is 4; target and output_shape give 3",
        TEXT.encode("utf-16"): "it is not text in UTF-8",
        TEXT.encode() + b"\xff": "it is not text in UTF-8",
        TEXT.encode() + b" " * (1 << 24): "it has more than 16,777,216 characters",
        b"\0" * 100: "it is not JSON: ",
        b"\xef\xbb\xbf" + TEXT.encode(): "it is not JSON: ",
    }.items():
        path.write_bytes(content)
        text = unreadable(tmp_path)
        assert text.startswith(f"project: {path} cannot be used: {expected}")
        assert text.endswith(". Compile the project again")


def test_a_directory_without_a_manifest_is_no_project(tmp_path):
    absent = tmp_path / "none"
    make = "with `ondevice-train compile`"
    assert unreadable(absent) == f"project: {absent} does not exist; make it {make}"
    expected = f"project: {tmp_path} is not a project (no {NAME}); make one {make}"
    assert unreadable(tmp_path) == expected
    (tmp_path / "report.json").write_text("{}")
    expected = f"project: {tmp_path} was compiled by an earlier release (it has no {NAME}); "
    assert unreadable(tmp_path) == expected + "compile it again"
    assert "Not a directory" in unreadable(tmp_path / "report.json")
    (tmp_path / NAME).mkdir()
    assert unreadable(tmp_path) == f"project: cannot read {tmp_path / NAME}: Is a directory"


# -- any damage -----------------------------------------------------------------------------------


def paths(content, before=()) -> list[tuple]:
    """Where something can be changed: every key and every index."""
    items = content.items() if isinstance(content, dict) else ()
    items = enumerate(content) if isinstance(content, list) else items
    found = [((*before, key), value) for key, value in items]
    return [place for path, value in found for place in (path, *paths(value, path))]


def check(text: str) -> None:
    """It is a manifest whose parts can be used, or one line."""
    try:
        found = from_json(text)
    except OdtError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000, error
        return
    assert from_json(to_json(found)) == found
    assert found.input_bytes > 0 and found.output_bytes > 0 and found.target.nbytes > 0
    for entry in found.trained_parameters.values():
        assert entry.end <= found.parameter_bytes
        if math.prod(entry.whole_shape) < 1e6:
            whole = np.zeros(entry.whole_shape, entry.dtype)
            assert entry.slice.take(whole).shape == entry.shape


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
SCALARS |= st.sampled_from(
    ["host", "uart", "values", "mse", "float32", "int8", 0, 1, 2, 4, 1 << 32]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(paths(json.loads(TEXT))), st.just(GONE) | ANYTHING)
def test_any_field_can_be_anything(path, value):
    check(changed(path, value))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_list_can_be_shuffled_cut_and_extended(data):
    content = json.loads(TEXT)
    lists = [path for path in paths(content) if isinstance(value_at(content, path), list)]
    entries = value_at(content, data.draw(st.sampled_from(lists)))
    entries[:] = data.draw(st.lists(st.sampled_from([*entries, 0, 1, 2]), max_size=6))
    check(json.dumps(content))


def value_at(content, path):
    for key in path:
        content = content[key]
    return content


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(paths(json.loads(TEXT))), st.text(max_size=5), ANYTHING)
def test_any_object_can_have_more(path, key, value):
    content = copy.deepcopy(json.loads(TEXT))
    inside = value_at(content, path)
    (inside if isinstance(inside, dict) else content)[key] = value
    check(json.dumps(content))


@settings(max_examples=1500, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 3), st.text(max_size=3))
def test_any_place_of_the_text_can_be_damaged(at, removed, inserted):
    check(TEXT[:at] + inserted + TEXT[at + removed :])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(1, 255))
def test_any_byte_of_the_file_can_be_another(tmp_path_factory, at, bits):
    directory = tmp_path_factory.getbasetemp()
    content = bytearray(TEXT.encode())
    content[at] ^= bits
    (directory / NAME).write_bytes(content)
    try:
        assert isinstance(read_manifest(directory), Manifest)
    except OdtError as error:
        assert len(str(error).splitlines()) == 1 and str(directory / NAME) in str(error)
