import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_project import FILES, MANIFEST, fake_project

from tvm_ondevice_train.boards import board
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.manifest import read_manifest
from tvm_ondevice_train.project import check_replaceable, generate_project, read_report


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


def test_settings_and_sources_of_the_user_are_built(tmp_path):
    directory = fake_project(tmp_path / "project")
    (directory / "own.mk").write_text("EXTRA = -DFROM_OWN_MK\n")
    command = ["make", "-n", "-C", directory]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "-DFROM_OWN_MK -c" in shown
    fake_project(directory)
    assert (directory / "own.mk").is_file()


def test_math_is_never_made_fast(tmp_path):
    makefile = (fake_project(tmp_path / "project", "mps2-an500") / "Makefile").read_text()
    assert "-ffp-contract=off" in makefile
    assert "fast" not in makefile


def test_an_earlier_project_is_replaced_with_its_build(tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    (directory / "build").mkdir()
    fake_project(directory)
    assert not (directory / "build").exists()
    assert not (directory / "link.ld").exists()
    assert not (directory / "runtime/port/cortex_m.c").exists()
    assert (directory / "initial.npz").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["project"]  # no scratch is left
    assert [path.name for path in (directory / ".odt").iterdir()] == ["generated.json"]


def test_what_is_the_users_stays(tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    own = (
        "src/my_sensor.c",
        "boards/x.overlay",
        "runtime/mine/a.h",
        "notes.txt",
        "runtime/port/my.c",
    )
    learned = ("flash.bin", "learned.npz", "run.json", "progress.jsonl")
    for name in (*own, *learned):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    said = []
    for board_name in ("mps2-an500", "host"):
        fake_project(directory, board_name, say=said.append)
        assert all((directory / name).read_text() == name for name in (*own, *learned))
    assert said == []
    assert not (directory / "runtime/port/cortex_m.c").exists()


def test_an_edited_file_is_refused_or_given_up(tmp_path):
    directory = fake_project(tmp_path / "project")
    for name in ("Makefile", "model.c", "runtime/src/odt_crc.c"):
        (directory / name).write_text("edited")
    expected = (
        r"work of yours where files are generated: Makefile, model\.c, runtime/src/odt_crc\.c"
    )
    for call in (fake_project, check_replaceable):
        with pytest.raises(OdtError, match=expected):
            call(directory)
    assert (directory / "Makefile").read_text() == "edited"
    said = []
    fake_project(directory, force=True, say=said.append)
    assert said == ["Replaced, with your changes: Makefile, model.c, runtime/src/odt_crc.c"]
    assert (directory / "model.c").read_text() == FILES["model.c"]


def test_a_file_of_the_user_in_the_way_is_refused(tmp_path):
    directory = fake_project(tmp_path / "project")
    (directory / "link.ld").write_text("mine")
    with pytest.raises(OdtError, match=r"work of yours .*: link\.ld; move it"):
        fake_project(directory, "mps2-an500")
    assert (directory / "link.ld").read_text() == "mine"
    assert not (directory / "board.h").exists()


def test_of_a_project_without_a_list_what_is_unknown_stays(tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    shutil.rmtree(directory / ".odt")
    (directory / "mine.c").write_text("mine")
    (directory / "model.c").write_text("of an earlier release")
    fake_project(directory)
    assert (directory / "mine.c").read_text() == "mine"
    assert (directory / "model.c").read_text() == FILES["model.c"]


def test_the_current_directory_stays_the_one_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        fake_project(".")
        assert Path.cwd().samefile(tmp_path) and Path("model.c").is_file()


def test_a_half_written_project_is_seen_and_written_anew(tmp_path, monkeypatch):
    directory = fake_project(tmp_path / "project")
    replace_file = os.replace

    def interrupted(source, place):
        if Path(place).name == "model.h":
            raise KeyboardInterrupt
        replace_file(source, place)

    other = {**FILES, "model.c": "other", "model.h": "other"}
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fake_project(directory, files=other)
    monkeypatch.undo()
    assert (directory / "model.h").read_text() == FILES["model.h"]
    with pytest.raises(OdtError, match="is half written: a `compile` was interrupted"):
        read_manifest(directory)
    said = []
    fake_project(directory, files=other, say=said.append)
    assert len(said) == 1 and "left" in said[0] and "half written" in said[0]
    assert (directory / "model.h").read_text() == (directory / "model.c").read_text() == "other"
    read_manifest(directory)


@pytest.mark.parametrize("name", ["../stolen", "/etc/passwd", "a/../../b", "", "\0"])
def test_a_list_that_names_files_elsewhere_is_refused(name, tmp_path):
    directory = fake_project(tmp_path / "project")
    path = directory / ".odt/generated.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "files": {name: "0" * 64}}))
    with pytest.raises(OdtError, match=r"generated\.json cannot be used: it names"):
        fake_project(directory)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\udcff"])
def test_a_damaged_list_is_one_line(text, tmp_path):
    directory = fake_project(tmp_path / "project")
    path = directory / ".odt/generated.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OdtError, match=r"generated\.json cannot be used: .*Remove it"):
        fake_project(directory)


@pytest.mark.parametrize("link", [".odt", "runtime", "build"])
def test_nothing_is_written_or_deleted_through_links_out_of_a_project(link, tmp_path):
    directory, outside = fake_project(tmp_path / "project"), tmp_path / "outside"
    shutil.rmtree(directory / link, ignore_errors=True)
    for name in ("fresh/x", "include/x", "x"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text("years of work")
    (directory / link).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    try:
        fake_project(directory, force=True)
    except OdtError as error:
        assert "link" in str(error)
    assert sorted(outside.rglob("*")) == before


def test_an_empty_directory_is_used(tmp_path):
    assert (fake_project(tmp_path) / "model.c").is_file()


def test_a_directory_that_is_no_project_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OdtError, match=r"thesis\.txt, which is not part of a project; choose an"):
        fake_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("existed", [True, False])
def test_a_failed_build_leaves_nothing_behind(existed, tmp_path):
    def fail(project):
        raise OdtError("no")

    directory = tmp_path / "project"
    if existed:
        directory.mkdir()
    with pytest.raises(OdtError, match="no"):
        fake_project(directory, build=fail)
    assert list(tmp_path.rglob("*")) == ([directory] if existed else [])


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
