"""One record an architecture, and nothing of it anywhere else."""

import re
import shutil
from pathlib import Path

import pytest

import tvm_ondevice_train
from tvm_ondevice_train.architectures import RECORDS
from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.c_runtime import runtime_dir

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(tvm_ondevice_train.__file__).parent
RECORD = pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)


@RECORD
def test_a_record_has_its_port_and_what_that_calls_at_a_fault(record):
    assert RECORDS[record.name] is record
    port = runtime_dir() / "port" / f"{record.name}.c"
    assert f" {record.fault_handler}(void)" in port.read_text()
    header = port.with_suffix(".h").read_text()
    assert "core_stack_pointer(void)" in header and "core_semihosting(int" in header


@RECORD
def test_every_core_is_one_of_the_compiler_and_of_a_board(record):
    used = {row.cpu for row in boards() if not row.is_host and row.architecture is record}
    assert used == set(record.cores)


@RECORD
def test_what_brings_its_tools_is_what_the_set_up_installs(record):
    assert set(record.packages) == {record.compiler, record.objdump, record.emulator}
    assert all(shutil.which(program) for program in record.packages)
    wanted = {*record.packages[record.compiler].split(), record.packages[record.emulator]}
    for text in ("scripts/setup.sh", "README.md"):
        assert all(package in (ROOT / text).read_text() for package in wanted), text


def test_cpus_of_two_architectures_have_different_names():
    names = [cpu for record in RECORDS.values() for cpu in record.cores]
    assert len(set(names)) == len(names)


def test_no_other_file_knows_an_architecture():
    """Neither by the record's name, nor by a tool's, nor by what its compiler defines."""
    words = {word for record in RECORDS.values() for word in (record.name, record.prefix)}
    words |= {record.emulator for record in RECORDS.values()}
    known = re.compile("|".join([*map(re.escape, words), "__(arm|riscv)", '"arm"']), re.I)
    own = {f"{name}{suffix}" for name in RECORDS for suffix in (".c", ".h", ".py")}
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2"), *(runtime_dir() / "port").iterdir()]
    files = [path for path in files if path.name != "reserved_names.py"]  # any compiler's words
    found = [
        f"{path.name}: {match[0]}"
        for path in files
        if path.name not in own
        for match in known.finditer(path.read_text())
    ]
    assert found == []
