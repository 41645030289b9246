"""What a run leaves for other programs, read by them, and that the files say the same."""

import csv
import struct
import sys

import numpy as np
import pytest
from fake_project import fake_project, samples
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from matplotlib.axes import Axes
from PIL import Image

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run.curves import write_curves
from tvm_ondevice_train.run.run_project import run_project
from tvm_ondevice_train.run.tensorboard import _crc32c


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A project, its result, and the folder where its picture and its events are."""
    folder = tmp_path_factory.mktemp("outputs")
    project = fake_project(folder / "project")
    (x, y), (x_test, y_test) = samples(200), samples(50, seed=1)
    data = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    options = {"steps": 300, "evaluate": True, "eval_every": "0.5e", "learning_rate": 0.1}
    files = {"plot": folder / "run.png", "tensorboard": folder / "events"}
    return project, run_project(project, data, **options, validation=0.1, **files), folder


def test_tables_have_what_run_json_has(run):
    project, result, _ = run
    with open(project / "losses.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 301))
    assert [float(row["loss"]) for row in rows] == result["losses"]
    assert [float(row["learning_rate"]) for row in rows] == result["learning_rates"]
    with open(project / "evaluations.csv") as file:
        rows = list(csv.DictReader(file))
    for row, found in zip(rows, result["evaluations"], strict=True):
        assert {**found, "step": str(found["step"])}.items() >= {"of": row["of"]}.items()
        assert float(row["accuracy"]) == found["accuracy"] and row["error"] == ""


def event_type():
    """The message as TensorBoard's event.proto and summary.proto describe what is used of it."""
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="tb", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for number, field, kind, label, of in fields:
            made.field.add(name=field, number=number, type=kind, label=label, type_name=of)

    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    message(
        "Value",
        (1, "tag", kinds.TYPE_STRING, one, None),
        (2, "simple_value", kinds.TYPE_FLOAT, one, None),
    )
    message("Summary", (1, "value", kinds.TYPE_MESSAGE, many, ".tb.Value"))
    message(
        "Event",
        (1, "wall_time", kinds.TYPE_DOUBLE, one, None),
        (2, "step", kinds.TYPE_INT64, one, None),
        (3, "file_version", kinds.TYPE_STRING, one, None),
        (5, "summary", kinds.TYPE_MESSAGE, one, ".tb.Summary"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tb.Event"))


def test_event_files_hold_every_value(run):
    _, result, folder = run
    (path,) = (folder / "events").iterdir()
    content, at, events = path.read_bytes(), 0, []
    event = event_type()
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        events.append(event.FromString(content[at + 12 : at + 12 + length]))
        at += length + 16
    assert events[0].file_version == "brain.Event:2" and "tfevents" in path.name
    series = {}
    for one in events[1:]:
        series.setdefault(one.summary.value[0].tag, []).append(
            (one.step, one.summary.value[0].simple_value)
        )
    assert series["training/loss"] == list(enumerate(result["losses"], 1))
    assert series["training/learning_rate"] == list(enumerate(result["learning_rates"], 1))
    (first, *_, last) = series["validation set/accuracy"]
    assert first[0] == 91 and last[0] == 273
    assert [step for step, _ in series["test set/loss"]] == [0, 300]


def test_checksums_are_crc32c():
    assert _crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value
    assert _crc32c(bytes(32)) == 0x8A9136AA  # B.4


def test_curves_are_a_picture(run):
    _, _, folder = run
    with Image.open(folder / "run.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (770, 1210, 3) and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


def test_curves_of_a_single_step(tmp_path):
    x, y = samples(20)
    run_project(fake_project(tmp_path / "project"), (x, y), steps=1, plot=tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 1000


def test_the_confusions_of_a_picture_are_named(run, monkeypatch, tmp_path):
    _, result, _ = run
    kept, drawn = Axes.set_yticks, []

    def kept_too(axes, ticks, *names, **how):
        drawn.append(names)
        kept(axes, ticks, *names, **how)

    monkeypatch.setattr(Axes, "set_yticks", kept_too)
    names = ["$^", "a long name of a class", *map(str, range(2, len(result["classes"])))]
    classes = [{**row, "name": name} for row, name in zip(result["classes"], names, strict=True)]
    write_curves(tmp_path / "run.png", {**result, "classes": classes})
    assert drawn == [(["$^", "a long name of a ...", *names[2:]],)]


def test_a_picture_that_cannot_be_made_is_refused_first(tmp_path, monkeypatch):
    project, data = fake_project(tmp_path / "project"), samples(5)
    with pytest.raises(OdtError, match=r"run\.svg is no \.png"):
        run_project(project, data, plot=tmp_path / "run.svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OdtError, match=r'pip install "tvm-ondevice-train\[plot\]"'):
        run_project(project, data, plot=tmp_path / "run.png")
    assert not (project / "run.json").exists()
