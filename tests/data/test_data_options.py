"""`--data` and its flags, from the command line to the steps of a run."""

import numpy as np
import pytest
from fake_project import fake_project, samples

from tvm_ondevice_train.cli import cli, main
from tvm_ondevice_train.data import Reading
from tvm_ondevice_train.data.audio.front_end import FrontEnd
from tvm_ondevice_train.data.augmentation import Augmentation
from tvm_ondevice_train.data.normalization import NAMED
from tvm_ondevice_train.device import build
from tvm_ondevice_train.run.run_project import run_project

X, Y = samples(40)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    directory = fake_project(tmp_path_factory.mktemp("data") / "project")
    build(directory)
    return directory


@pytest.fixture
def given(monkeypatch):
    """What `run` hands to `run_project`."""
    calls = []

    def record(directory, data, *, reading, **options):
        calls.append((data, reading))
        raise KeyboardInterrupt

    monkeypatch.setattr("tvm_ondevice_train.run.run_project.run_project", record)
    return calls


def test_flags_are_a_reading(given, tmp_path):
    flags = "--normalize -1..1 --audio mfcc,rate=8000,coefficients=10 --window 50 --stride 25"
    flags += " --class-names no,yes --augment flip,shift=4,noise=0.01"
    assert main(["run", str(tmp_path), "--data", "photos", *flags.split()]) == 130
    expected = Reading(
        normalization=NAMED["-1..1"],
        front_end=FrontEnd("mfcc", rate=8000, coefficients=10),
        window=50,
        stride=25,
        class_names=("no", "yes"),
        augmentation=Augmentation(flip=True, shift=4, noise=0.01),
    )
    assert given == [("photos", expected)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--normalize 0..2", "--normalize: '0..2' is unknown"),
        ("--audio mel", "--audio: mel is ''; allowed: htk or slaney"),
        ("--augment turn", "--augment: 'turn' is unknown"),
        ("--window 0", "'--window': 0 is not in the range"),
        ("--class-names a,a", "class_names has 'a' twice"),
        ("", "nothing.npz does not exist"),
    ],
)
def test_what_they_cannot_be_is_one_line(flags, message, project, capsys):
    arguments = ["run", str(project), "--data", "nothing.npz", *flags.split()]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_no_command_has_a_flag_twice():
    for name, command in cli.commands.items():
        flags = [flag for parameter in command.params for flag in parameter.opts]
        assert len(flags) == len(set(flags)), name


def test_a_run_says_what_it_assumes_and_trains_on_a_table(project, tmp_path, capsys):
    lines = ["value,label"]
    lines += [f"{v / 128},{y}" for x, y in zip(X, Y, strict=True) for v in x]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    arguments = ["run", str(project), "--data", str(tmp_path / "data.csv"), "--steps", "5"]
    assert main(arguments) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == f"data: {tmp_path / 'data.csv'}: tables of measured values"


def test_a_run_calls_classes_by_their_names(project):
    reading = Reading.of(class_names="no,yes")
    result = run_project(project, (X, Y % 2), steps=1, evaluate=True, reading=reading)
    names = [row.get("name") for row in result["classes"]]
    assert names == ["no", "yes", *[None] * 8]


def test_an_augmented_run_repeats_itself_and_is_another_than_a_plain_one(project):
    reading = Reading.of(augment="noise=0.2")
    first, again, plain, other = (
        run_project(project, (X, Y), steps=30, reading=how, seed=seed)["losses"]
        for how, seed in ((reading, 0), (reading, 0), (None, 0), (reading, 1))
    )
    assert first == again and first != plain and first != other
    assert np.isfinite(first).all()
