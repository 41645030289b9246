"""A damaged manifest: every command says so in one line and leaves the project as it was."""

import json

import numpy as np
import pytest
from test_bad_input import one_line, snapshot
from tiny_models import export_float, images

from tvm_ondevice_train.cli import main

COMMANDS = {
    "run": ("run", "{project}", "--data", "{data}", "--steps", "2"),
    "export": ("export", "{project}", "-o", "{output}.npz"),
    "export, ONNX": ("export", "{project}", "-o", "{output}.onnx"),
    "export, saved": ("export", "{project}", "-o", "{output}.npz", "--saved"),
    "import": ("import", "{project}", "{learned}"),
    "tune": ("tune", "{project}", "-o", "{output}.json"),
    "monitor": ("monitor", "{project}", "--once"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project that was made, trained and saved by the command line."""
    directory = tmp_path_factory.mktemp("manifest")
    model, project, data = export_float("cnn", directory), directory / "project", "data.npz"
    x, y = images(4)
    np.savez(directory / data, x=x, y=y)
    options = ["--platform", "host", "--scheme", "bias:1"]
    assert main(["compile", str(model), "-o", str(project), *options]) == 0
    options = ["--data", str(directory / data), "--steps", "2", "--save"]
    assert main(["run", str(project), *options]) == 0
    return project


def without(key):
    return lambda content: {name: value for name, value in content.items() if name != key}


def with_(**changes):
    return lambda content: {**content, **changes}


def parameter(**changes):
    def change(content):
        name, entry = next(iter(content["trained_parameters"].items()))
        trained = {**content["trained_parameters"], name: {**entry, **changes}}
        return {**content, "trained_parameters": trained}

    return change


DAMAGE = {
    "no object": lambda content: [content],
    "another format": with_(format="ondevice-train scheme"),
    "newer": with_(version=2),
    "older": with_(version=0),
    "no hash": without("model_hash"),
    "no parameters": without("trained_parameters"),
    "a key too many": with_(arena_bytes=100),
    "text for a number": with_(model_hash="12"),
    "null": with_(board=None),
    "another board": with_(board="teapot"),
    "another platform": with_(platform="arduino"),
    "a platform that the board has not": with_(platform="zephyr"),
    "a transport of another platform": with_(transport="uart"),
    "no name of a loss": with_(loss=None),
    "a target of another loss": with_(target={"kind": "values", "shape": [1, 4]}),
    "other classes": with_(classes=5),
    "an empty input": with_(input={"shape": [], "dtype": "float32", "scale": None}),
    "infinity": with_(stack_bytes=float("inf")),
    "an offset in between": parameter(offset=2),
    "a negative offset": parameter(offset=-4),
    "an offset far away": parameter(offset=1 << 33),
    "another dtype": parameter(dtype="float16"),
    "an empty shape": parameter(shape=[0]),
    "rows out of range": parameter(rows=[1 << 20]),
    "made from what is none": with_(made_from={"model": "m.onnx"}),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_command_refuses_it_in_one_line(damage, command, trained, tmp_path, capfd):
    path = trained / "manifest.json"
    intact = path.read_text()
    places = {
        "project": trained,
        "data": trained.parent / "data.npz",
        "learned": trained / "learned.npz",
        "output": tmp_path / "output",
    }
    path.write_text(json.dumps(DAMAGE[damage](json.loads(intact))))
    try:
        before = snapshot(trained.parent)
        assert main([word.format(**places) for word in COMMANDS[command]]) == 2
        printed = capfd.readouterr()
        assert printed.out == ""
        assert f"{path} cannot be used: " in one_line(printed.err)
        assert snapshot(trained.parent) == before and not list(tmp_path.iterdir())
    finally:
        path.write_text(intact)


# What can be read, but is not the program's
UNTRUE = {
    "another hash": (with_(model_hash=7), "device: it runs model "),
    "another output": (with_(output_shape=[1, 9], classes=9), "device: output_bytes is"),
    "another platform": (
        with_(platform="baremetal", transport="semihosting"),
        "makes no firmware.elf, the program of platform baremetal; compile",
    ),
}


@pytest.mark.parametrize("case", UNTRUE)
def test_a_manifest_that_is_not_the_programs_is_refused_by_run(case, trained, capfd):
    path, (damage, expected) = trained / "manifest.json", UNTRUE[case]
    intact = path.read_text()
    path.write_text(json.dumps(damage(json.loads(intact))))
    try:
        data = trained.parent / "data.npz"
        assert main(["run", str(trained), "--data", str(data), "--steps", "2"]) == 2
        assert expected in one_line(capfd.readouterr().err)
    finally:
        path.write_text(intact)


def test_a_project_of_an_earlier_release_is_refused(trained, tmp_path, capfd):
    (tmp_path / "report.json").write_text("{}")
    assert main(["monitor", str(tmp_path)]) == 2
    assert "was compiled by an earlier release" in one_line(capfd.readouterr().err)
