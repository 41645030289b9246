"""What the compiler says of a step's flash, against the firmware that a user builds."""

import shutil
from dataclasses import replace

import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board
from tvm_ondevice_train.device import build, sizes
from tvm_ondevice_train.device.firmware_size import object_flash_bytes
from tvm_ondevice_train.errors import BudgetError
from tvm_ondevice_train.project import read_report
from tvm_ondevice_train.report import with_zephyr

LINKED = ["mps2-an500", "mps3-an547", "microbit", "virt-rv32imac", "nrf5340dk"]


def compiled_for(name: str, **options) -> odt.CompiledModel:
    return odt.compile(tiny.network(quantized=True), board=name, **options)


@pytest.mark.parametrize("name", LINKED)
def test_a_saved_project_is_built_and_reports_its_flash(name, tmp_path):
    compiled = compiled_for(name, scheme="full")
    project = compiled.save(tmp_path / "project", "baremetal")
    image = project / "build/firmware.elf"
    made = image.stat().st_mtime_ns
    found = sizes(build(project)).flash_bytes
    assert image.stat().st_mtime_ns == made  # there was nothing left to build
    code = {"flash_bytes": found, "flash_holds_code": True}
    assert read_report(project) == compiled.report | code
    assert found > compiled.report["flash_bytes"] and not compiled.report["flash_holds_code"]


@pytest.mark.parametrize("name", ["qemu_cortex_m3", "mps2-an385"])
def test_a_zephyr_project_is_charged_its_objects(name, tmp_path):
    compiled = compiled_for(name)
    constants = compiled.report["flash_bytes"]
    project = compiled.save(tmp_path / "project", "zephyr")
    found = read_report(project)["flash_bytes"]
    assert constants + 4000 < found < constants + 40_000
    assert compiled.report["flash_bytes"] == constants


def test_without_flash_or_compiler_the_constants_remain(monkeypatch, tmp_path):
    assert object_flash_bytes(compiled_for("host").files, board("host")) is None
    monkeypatch.setattr(shutil, "which", lambda _: None)
    for platform in ("baremetal", "zephyr"):
        compiled = compiled_for("mps2-an385")
        project = compiled.save(tmp_path / platform, platform)
        report = compiled.report
        expected = with_zephyr(report, compiled.board) if platform == "zephyr" else report
        assert read_report(project) == expected
        assert not compiled.report["flash_holds_code"]


@pytest.mark.parametrize("platform", ["baremetal", "zephyr"])
def test_a_compiler_that_lacks_a_header_is_said(platform, tmp_path):
    compiled = compiled_for("mps2-an385")
    broken = replace(compiled, files={**compiled.files, "model.c": '#include "absent.h"\n'})
    report = read_report(broken.save(tmp_path / "project", platform))
    assert "absent.h: No such file" in report.pop("not_built")
    alone = compiled.report
    assert report == (with_zephyr(alone, compiled.board) if platform == "zephyr" else alone)


def test_what_is_too_large_leaves_an_earlier_project_as_it_was(tmp_path):
    project = compiled_for("mps2-an500").save(tmp_path / "project")
    before = read_report(project)
    small = compiled_for("mps2-an500", flash_bytes=before["flash_bytes"] - 100)
    with pytest.raises(BudgetError, match="flash by 100 bytes"):
        small.save(project)
    assert read_report(project) == before and [*tmp_path.iterdir()] == [project]
