from dataclasses import replace

import numpy as np
import pytest
from fake_project import FILES, MANIFEST, fake_project

from tvm_ondevice_train.boards import board
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.manifest import read_manifest
from tvm_ondevice_train.project import generate_project, read_report


def test_a_project_holds_model_runtime_manifest_and_report(tmp_path):
    report = {"arena_bytes": 1000}
    directory = fake_project(tmp_path / "a" / "project", "mps2-an500", report=report)
    assert (directory / "model.c").read_text() == FILES["model.c"]
    for name in ("Makefile", "link.ld", "README.md", "runtime/port/cortex_m.c"):
        assert (directory / name).is_file()
    runs = {"board": "mps2-an500", "platform": "baremetal", "transport": "semihosting"}
    assert read_manifest(directory) == replace(MANIFEST, **runs)
    assert read_report(directory) == report


def test_a_project_holds_the_whole_parameters_as_the_model_had_them(tmp_path):
    initial = {
        "conv/weight": np.arange(6, dtype=np.int8).reshape(3, 2),
        "bias": np.float32([0.5, -1]),
        "file": np.int32(3),  # a name that numpy.savez cannot take
    }
    directory = fake_project(tmp_path / "project", initial=initial)
    with np.load(directory / "initial.npz") as found:
        assert set(found) == set(initial)
        for name, value in initial.items():
            np.testing.assert_array_equal(found[name], value, strict=True)


def test_a_host_project_has_no_bare_metal_files(tmp_path):
    directory = generate_project(FILES, MANIFEST, "mps2-an500", "host", tmp_path / "project")
    assert not (directory / "link.ld").exists()
    ports = {path.stem for path in (directory / "runtime/port").iterdir()}
    assert ports == {"host_main", "host_flash", "host_tcp", "file_flash"}


def test_the_linker_script_holds_the_budget(tmp_path):
    row = board("mps2-an500", sram_bytes=100000, flash_bytes=200000)
    manifest = replace(MANIFEST, stack_bytes=2048)
    directory = generate_project(FILES, manifest, row, "baremetal", tmp_path / "p")
    script = (directory / "link.ld").read_text()
    assert "ORIGIN = 0x20000000, LENGTH = 100000" in script
    assert "ORIGIN = 0x00000000, LENGTH = 200000" in script
    assert ". += 2048;" in script


def test_the_same_input_gives_the_same_bytes(tmp_path):
    initial = {"w": np.float32([1, 2])}
    first, second = (
        fake_project(tmp_path / name, "mps2-an500", initial=initial) for name in ("one", "two")
    )
    paths = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    assert paths
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in paths)


def test_math_is_never_made_fast(tmp_path):
    makefile = (fake_project(tmp_path / "project", "mps2-an500") / "Makefile").read_text()
    assert "-ffp-contract=off" in makefile
    assert "fast" not in makefile


def test_an_earlier_project_is_replaced_with_its_build(tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    (directory / "build").mkdir()
    (directory / "run.json").write_text("{}")
    fake_project(directory)
    assert not (directory / "build").exists()
    assert not (directory / "link.ld").exists()
    assert (directory / "initial.npz").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["project"]  # no scratch is left


def test_an_empty_directory_is_used(tmp_path):
    assert (fake_project(tmp_path) / "model.c").is_file()


def test_foreign_files_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OdtError, match=r"thesis\.txt, which is not part of a project"):
        fake_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_note_inside_an_earlier_project_is_not_lost(tmp_path):
    directory = fake_project(tmp_path / "project")
    (directory / "notes.txt").write_text("keep me")
    with pytest.raises(OdtError, match=r"notes\.txt"):
        fake_project(directory)
    assert (directory / "notes.txt").read_text() == "keep me"


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(TypeError):
        generate_project({**FILES, "model.c": None}, MANIFEST, "host", "host", tmp_path / "project")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"board": "host", "platform": "baremetal"}, "host has no platform baremetal; it has host"),
        ({"board": "native_sim"}, "native_sim has no platform baremetal; it has zephyr"),
        (
            {"platform": "arduino"},
            "unknown platform 'arduino'; known platforms are host, baremetal",
        ),
        ({"transport": "tcp"}, "no transport tcp on mps2-an500, baremetal; allowed: semihosting"),
        ({"board": "arduino"}, "unknown board"),
    ],
)
def test_impossible_options_are_one_line(options, message, tmp_path):
    options = {"board": "mps2-an500", "platform": "baremetal", **options}
    with pytest.raises(OdtError, match=message):
        generate_project(FILES, MANIFEST, directory=tmp_path / "project", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OdtError, match="is a file"):
        fake_project(tmp_path / "file")
    with pytest.raises(OdtError, match="cannot write"):
        fake_project(tmp_path / "file" / "project")
