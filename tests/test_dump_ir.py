"""`compile(dump_ir=...)`: the module after each pass, as files."""

import ast
import re

import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.dump_ir import IRDump
from tvm_ondevice_train.errors import OdtError

TRAINING = [
    *("odt.SparseBackward", "odt.InwardGradients", "odt.EliminateDeadGradients"),
    "odt.IntegerGradients",
]
LOWERING = [
    *("odt.LowerQDQ", "CanonicalizeBindings", "DeadCodeElimination", "odt.LegalizeOps"),
    *("AnnotateTIROpPattern", "odt.FusePrologue", "FuseOps", "odt.MergeKernels"),
    *("DeadCodeElimination", "odt.DefaultSchedule", "odt.LowerToLoops", "odt.InPlace"),
    *("odt.SelectMicrokernels", "odt.ReorderForMemory"),
]


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dump") / "made" / "here"
    odt.compile(tiny.network(quantized=True), dump_ir=directory)
    return directory


@pytest.mark.parametrize("part, passes", [("training", TRAINING), ("evaluation", [])])
def test_one_file_for_each_pass_in_their_order(dumped, part, passes):
    assert sorted(path.name for path in dumped.iterdir()) == ["evaluation", "training"]
    files = sorted(path.name for path in (dumped / part).iterdir())
    assert files == [f"{i:02d}_{name}.py" for i, name in enumerate([*passes, *LOWERING])]


@pytest.mark.parametrize("part", ["training", "evaluation"])
def test_each_file_is_a_module_that_python_reads(dumped, part):
    for path in (dumped / part).iterdir():
        text = path.read_text()
        ast.parse(text)
        assert "@I.ir_module" in text and "def main(" in text


def test_each_file_is_what_its_pass_made(dumped):
    texts = [path.read_text() for path in sorted((dumped / "training").iterdir())]
    has_updates = ["odt.sgd_update" in text for text in texts]
    assert has_updates.index(False) == len(TRAINING) + LOWERING.index("odt.LegalizeOps")
    assert "R.nn.conv2d" in texts[0] and "qconv2d" in texts[len(TRAINING)]
    assert "peak_bytes" in texts[-1] and "peak_bytes" not in texts[-2]


def test_the_generated_code_is_the_same(dumped):
    model = tiny.network(quantized=True)
    assert odt.compile(model).files == odt.compile(model, dump_ir=dumped).files


def test_without_a_directory_nothing_is_written(monkeypatch):
    monkeypatch.setattr(IRDump, "__call__", lambda *_: pytest.fail("a pass is watched"))
    odt.compile(tiny.network())


@pytest.mark.parametrize("part", ["training", "evaluation"])
def test_what_was_dumped_last_is_what_was_compiled(dumped, part):
    """Schedules may be tried that are not used; the dump is of those that are."""
    source = odt.compile(tiny.network(quantized=True)).planned
    step = {"training": source.train, "evaluation": source.evaluate}[part].step
    text = sorted((dumped / part).iterdir())[-1].read_text()
    called = re.findall(r"R\.call_tir\(cls\.(\w+),", text)
    assert called == [task.call.value.args[0].name_hint for task in step.tasks]
    assert re.search(r'"peak_bytes": (\d+)', text)[1] == str(step.peak_bytes)


@pytest.mark.parametrize("place", ["", "training"])
def test_a_directory_that_cannot_be_written_is_one_line(tmp_path, place):
    blocked = tmp_path / "dump"
    if place:
        blocked.mkdir()
    (blocked / place).write_text("a file")
    with pytest.raises(OdtError) as caught:
        odt.compile(tiny.network(), dump_ir=blocked)
    path = blocked / "training"
    assert str(caught.value).startswith(f"dump_ir: cannot write {path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "training" / "00_odt.SparseBackward.py").mkdir(parents=True)
    with pytest.raises(OdtError, match=r"dump_ir: cannot write .*: Is a directory") as caught:
        odt.compile(tiny.network(), dump_ir=tmp_path)
    assert len(str(caught.value).splitlines()) == 1
