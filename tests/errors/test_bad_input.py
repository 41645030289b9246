"""Whatever a user hands in: one line, exit code 2, and nothing half-written."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from shared import SHARED, needs_models, slow
from tiny_models import CLASSES, IMAGE, compiled, export_float, images

from tvm_ondevice_train.cli import main

ROOT = Path(__file__).resolve().parents[2]
KWS = SHARED / "models/mlperf_tiny/kws_ref_model.tflite"


@pytest.fixture(scope="module")
def cnn(tmp_path_factory) -> Path:
    return export_float("cnn", tmp_path_factory.mktemp("cnn"))


@pytest.fixture
def refused(tmp_path, capfd):
    """Runs a command line that must fail, and gives its line on standard error.

    What TVM's C++ prints is seen too; everything in `tmp_path` must stay as it was.
    """

    def run(*arguments) -> str:
        before = snapshot(tmp_path)
        gc.collect()  # what tests before left half built: TVM warns as that goes
        capfd.readouterr()
        assert main([*map(str, arguments)]) == 2
        printed = capfd.readouterr()
        assert printed.out == ""
        assert snapshot(tmp_path) == before
        return one_line(printed.err)

    return run


def snapshot(directory: Path) -> dict[Path, bytes | None]:
    return {p: p.read_bytes() if p.is_file() else None for p in directory.rglob("*")}


def one_line(text: str) -> str:
    assert text.startswith("ondevice-train: error: ") and text.count("\n") == 1, text
    assert len(text) < 700, text
    assert "Traceback" not in text and "<class" not in text and "0x" not in text, text
    return text


# -- model files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (onnx_files.dynamic, '"x": the dynamic shape (1, 3, height, 8)'),
        (onnx_files.two_inputs, "2 inputs"),
        (onnx_files.two_outputs, "2 outputs"),
        (onnx_files.empty_result, "is empty"),
        (onnx_files.zero_scale, 'the quantize of scale "scale" has scale 0'),
        (onnx_files.no_layer, "no convolution or fully connected layer"),
        (onnx_files.missing_external_data, "weights.bin"),
        (lambda path: onnx_files.unsupported(path, "Sin"), 'Sin (node "odd one")'),
        (lambda path: onnx_files.unsupported(path, "Det"), 'Det (node "odd one")'),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(make, expected, refused, tmp_path):
    path = make(tmp_path / "model.onnx")
    line = refused("compile", path, "-o", tmp_path / "project")
    assert expected in line and "model" in line


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".h5", ""])
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"hello, world", bytes(range(256)) * 8, b"\0\0\0\0TFL3" + b"\xff" * 99]
)
def test_a_file_that_is_no_model_is_refused(content, suffix, refused, tmp_path):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert "model" in refused("compile", path, "-o", tmp_path / "project")


def test_a_missing_file_and_a_directory_are_refused(refused, tmp_path):
    missing = tmp_path / "missing.onnx"
    assert "missing.onnx" in refused("compile", missing, "-o", tmp_path / "project")
    assert "is a directory" in refused("compile", tmp_path, "-o", tmp_path / "project")


# in the graph, in the weights, just before the end
@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_truncated_onnx_file_is_refused(share, cnn, refused, tmp_path):
    data = cnn.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(share * len(data))])
    assert "cut.onnx: not a valid ONNX file" in refused("compile", path, "-o", tmp_path / "p")


@needs_models
@pytest.mark.parametrize("share", [0.0001, 0.001, 0.1, 0.5, 0.7, 0.9, 0.999])
def test_a_truncated_tflite_file_is_refused(share, refused, tmp_path):
    data = KWS.read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: int(share * len(data))])
    assert "cut.tflite: " in refused("compile", path, "-o", tmp_path / "project")


DAMAGE = """
import random, sys
from pathlib import Path
import tvm_ondevice_train as odt
from tvm_ondevice_train.errors import OdtError

source, scratch = Path(sys.argv[1]), Path(sys.argv[2])
for seed in range(30):
    generator, data = random.Random(seed), bytearray(source.read_bytes())
    for _ in range(generator.choice([1, 2, 8])):
        # half of the damage falls into the first or last 3000 bytes, where the structure is
        near = generator.choice([3000, len(data)])
        place = generator.randrange(min(near, len(data)))
        data[place if generator.random() < 0.5 else -1 - place] ^= 1 << generator.randrange(8)
    scratch.write_bytes(data)
    try:
        odt.compile(scratch, sram_bytes=4 << 20)
        print(seed, "compiled")
    except OdtError as error:
        print(seed, "refused:", error)
"""


@slow
@pytest.mark.parametrize("kind", ["onnx", pytest.param("tflite", marks=needs_models)])
def test_flipped_bits_never_crash(kind, cnn, tmp_path):
    """In a process of its own: an importer that reads past a damaged file's end would kill it."""
    source = cnn if kind == "onnx" else KWS
    command = [sys.executable, "-c", DAMAGE, source, tmp_path / f"damaged.{kind}"]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout[-1000:], done.stderr[-3000:])
    assert done.stderr == ""
    outcomes = done.stdout.splitlines()
    assert len(outcomes) == 30  # a message with a line break would make more
    assert sum("refused" in outcome for outcome in outcomes) > 5


@pytest.mark.parametrize("content", ["unsupported", "garbage"])
def test_a_real_process_prints_one_line_and_leaves_nothing(content, tmp_path):
    path = onnx_files.unsupported(tmp_path / "model.onnx", "Sin")
    if content == "garbage":
        path.write_bytes(b"\x08\x09" * 50)
    command = [sys.executable, "-m", "tvm_ondevice_train", "compile", path, "-o", tmp_path / "p"]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--classes 0", "--classes"),
        ("--classes 1", "from 2 to"),
        ("--classes -1", "--classes"),
        ("--classes ten", "'ten'"),
        ("--board arduino", "known boards are host, mps2-an500"),
        ("--scheme most", '"most" is unknown; allowed are full, head'),
        ("--scheme last:9", "the model has 4 layers before its head"),
        ("--scheme bias:5", "the model has 4 biases before its head"),
        ("--scheme last:0", 'K must be a positive whole number, found "0"'),
        ("--scheme missing.json", "missing.json"),
        ("--loss hinge", "'hinge' is not one of 'cross_entropy', 'bce', 'mse', 'l1', 'huber'"),
        ("--loss mse --delta 1", "loss mse has no delta; huber would have it"),
        ("--loss huber --delta 0", "delta is 0.0; it must be above 0, and finite"),
        ("--ignore-index x", "'x' is no integer"),
        ("--ignore-index 255", "ignore_index is for a map of labels"),
        ("--class-weights balanced", "depends on data that compiling does not see"),
        ("--class-weights 1,2", "class_weights has 2 numbers; the output has"),
        ("--scheme full --sram 8KB", "more than the 8,192 of mps2-an500"),
        ("--flash 1KB", "more than the 1,024 of mps2-an500"),
        ("--flash 9KB", "exceeds the budget of mps2-an500: flash by"),
        ("--sram 9MB", "must lie between 1 and 4194304"),
        ("--board host --platform baremetal", "no platform baremetal; it has host"),
    ],
)
def test_a_wrong_option_is_refused(options, expected, cnn, refused, tmp_path):
    assert expected in refused("compile", cnn, "-o", tmp_path / "project", *options.split())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "no parameter trains"),
        ({"0.weights": "all"}, 'no parameter "0.weights"; close: 0.weight'),
        ({"0.weight": "first"}, 'parameter "0.weight" is "first"; allowed are "all"'),
        ({"0.weight": {"ratio": 2}}, 'parameter "0.weight": ratio is 2; it must be a number above'),
        ({"0.weight": {"channels": [1, -1]}}, "channels are [1, -1]; it must be a list of"),
        ({"0.weight": {"ratio": 1, "seed": 5}}, '"seed" does not belong here; allowed are'),
        ({"0.weight": {"channels": [3]}}, "channel 3 is out of range; the weight has"),
        ({"0.bias": {"count": 1}}, "only the weight of a layer trains by channel"),
        ({"6.weight": "frozen"}, '"head" is true, so that parameter "6.weight" is "all"'),
    ],
)
def test_a_wrong_scheme_file_is_refused(parameters, expected, cnn, refused, tmp_path):
    path = tmp_path / "scheme.json"
    content = {"format": "ondevice-train scheme", "version": 1, "head": "6.weight" in parameters}
    path.write_text(json.dumps({**content, "parameters": parameters}))
    line = refused("compile", cnn, "-o", tmp_path / "project", "--scheme", path)
    assert expected in line and str(path) in line


def test_an_output_directory_that_holds_other_things_is_refused(cnn, refused, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("precious")
    (tmp_path / "notes").write_text("precious")
    for place, expected in (
        ("thesis", "holds chapter1.tex, which is not part of a project"),
        ("notes", "is a file, not a directory"),
        ("notes/project", "cannot write"),
    ):
        assert expected in refused("compile", cnn, "-o", tmp_path / place)
    assert "cannot write" in refused("compile", cnn, "-o", "/proc/project")


def test_a_bad_output_directory_is_refused_before_the_work(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("tvm_ondevice_train.compile", lambda *_, **__: pytest.fail("compiled"))
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "notes").write_text("precious")
    refused("compile", tmp_path / "model.onnx", "-o", tmp_path / "notes")


# -- data -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return compiled("cnn", "head").save(tmp_path_factory.mktemp("data") / "project", "host")


def with_value(value):
    x = images(4)[0]
    x[2, 0, 1, 1] = value
    return x


X, Y = images(4)
LABELS = f"the model has classes 0 to {CLASSES - 1}"
BAD_DATA = {
    "no x": ({"y": Y}, "no array x"),
    "no y": ({"x": X}, "no array y"),
    "nothing": ({}, "no array x"),
    "other shape": ({"x": X[:, :, :5], "y": Y}, f"takes (N, {', '.join(map(str, IMAGE))})"),
    "no batch axis": ({"x": X[0], "y": Y}, "x has shape (3, 12, 12)"),
    "a number": ({"x": 1.0, "y": Y}, "x has shape ()"),
    "integers": ({"x": X.astype(int), "y": Y}, "x is int64; the model takes float32"),
    "text": ({"x": np.full(X.shape, "a"), "y": Y}, "the model takes float32"),
    "NaN": ({"x": with_value(np.nan), "y": Y}, "x holds NaN or infinity in sample 2"),
    "infinity": ({"x": with_value(-np.inf), "y": Y}, "NaN or infinity in sample 2"),
    "too large for float32": ({"x": with_value(1.0).astype(float) * 1e300, "y": Y}, "infinity"),
    "label too large": ({"x": X, "y": [0, 1, CLASSES, 2]}, f"y[2] is {CLASSES}; {LABELS}"),
    "label negative": ({"x": X, "y": [0, -1, 1, 2]}, f"y[1] is -1; {LABELS}"),
    "label beyond int32": ({"x": X, "y": [0, 2**32, 1, 2]}, LABELS),
    "labels are floats": ({"x": X, "y": Y.astype(float)}, "labels are integers"),
    "labels are one-hot": (
        {"x": X, "y": np.eye(4, dtype=int)},
        "labels are integers of shape (N,)",
    ),
    "fewer labels": ({"x": X, "y": Y[:3]}, "x has 4 samples and y 3"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, "no samples"),
    "objects": ({"x": np.array([X, None], object), "y": Y}, "not a readable .npz file"),
    "y_test alone": ({"x": X, "y": Y, "y_test": Y}, "y_test but no x_test"),
    "x_test alone": ({"x": X, "y": Y, "x_test": X}, "x_test has no labels y_test"),
    "bad x_test": ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "x_test has shape"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_refused(case, project, refused, tmp_path):
    arrays, expected = BAD_DATA[case]
    np.savez(tmp_path / "data.npz", **arrays)
    assert expected in refused("run", project, "--data", tmp_path / "data.npz")


def test_a_data_file_that_is_none_is_refused(project, refused, tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez(whole, x=X, y=Y)
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-200])
    (tmp_path / "empty.npz").write_bytes(b"")
    flipped = bytearray(whole.read_bytes())
    flipped[len(flipped) // 2] ^= 255
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name, expected in (
        ("missing.npz", "does not exist"),
        ("one.npy", "is one array"),
        ("cut.npz", "not a readable .npz file"),
        ("empty.npz", "not a readable .npz file"),
        ("flipped.npz", "not a readable .npz file"),
    ):
        assert expected in refused("run", project, "--data", tmp_path / name)
    assert "has no samples to train on" in refused("run", project, "--data", tmp_path)


def test_steps_and_epochs_together_are_refused(project, refused, tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    options = ("--data", tmp_path / "data.npz", "--steps", 1, "--epochs", 1)
    assert "not both" in refused("run", project, *options)


def test_training_that_diverges_stops_with_one_line(tmp_path, capfd):
    project = compiled("cnn", "full").save(tmp_path / "project", "host")
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    options = ["--data", str(tmp_path / "data.npz"), "--steps", "50", "--lr", "1e30"]
    assert main(["run", str(project), *options]) == 2
    assert "use a smaller learning rate" in one_line(capfd.readouterr().err)
    assert "learning rate" in json.loads((project / "run.json").read_text())["stopped"]


def test_a_project_that_is_none_is_refused(refused, tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    (tmp_path / "project").mkdir()
    arguments = ("run", tmp_path / "project", "--data", tmp_path / "data.npz")
    assert "is not a project" in refused(*arguments)
    for content in ("", "{", "[]", "{}", '{"platform": "host"}'):
        (tmp_path / "project/manifest.json").write_text(content)
        assert "manifest.json cannot be used: " in refused(*arguments)
