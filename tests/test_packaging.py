"""Packages, set-up and CI scripts, each run on a copy or with stand-ins for what they call."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE")
FOLDERS = ("tvm_ondevice_train", "relay_passes", "runtime")


def files_below(root: Path) -> dict[str, bytes]:
    """Relative path -> content, without what Python and compilers leave behind."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".o"
    }


def build(kind: str, source: Path, target: Path) -> Path:
    """Run setuptools' `build_sdist` or `build_wheel` in `source`; the archive it made."""
    code = f"import setuptools.build_meta as b; b.build_{kind}({str(target)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    return next(target.glob("*.tar.gz" if kind == "sdist" else "*.whl"))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what is packaged, since building writes into its own source."""
    source = tmp_path_factory.mktemp("package") / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name)
    return source


@pytest.fixture(scope="module")
def installed(source) -> Path:
    """What a wheel installs that was built from the source distribution alone."""
    base = source.parent
    archive = build("sdist", source, base)
    shutil.unpack_archive(archive, base / "unpacked")
    (unpacked,) = (base / "unpacked").iterdir()
    with zipfile.ZipFile(build("wheel", unpacked, base)) as wheel:
        wheel.extractall(base / "installed")
    return base / "installed"


@pytest.mark.parametrize("package", ["tvm_ondevice_train", "relay_passes"])
def test_every_file_of_a_package_is_installed(source, installed, package):
    wanted, found = files_below(source / package), files_below(installed / package)
    assert "py.typed" in wanted  # what type checkers go by
    assert {name: found.get(name) for name in wanted} == wanted


def test_the_runtime_is_installed_and_found(source, installed):
    copied = files_below(installed / "tvm_ondevice_train/_runtime")
    assert copied == files_below(source / "runtime/c")
    code = "from tvm_ondevice_train.project import runtime_dir; print(runtime_dir())"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    found = subprocess.check_output(
        [sys.executable, "-c", code], cwd=installed, env=environment, text=True
    )
    assert Path(found.strip()) == installed / "tvm_ondevice_train/_runtime"


def test_the_command_is_installed_and_tests_are_not(installed):
    (metadata,) = installed.glob("*.dist-info")
    assert (
        "ondevice-train = tvm_ondevice_train.cli:main"
        in (metadata / "entry_points.txt").read_text()
    )
    assert sorted(p.name for p in installed.iterdir()) == sorted(
        ["tvm_ondevice_train", "relay_passes", metadata.name]
    )


def stand_in(folder: Path, name: str, script: str) -> None:
    """A program of ours called `name`."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare_machine(tmp_path):
    """A machine with Python 3 and a shell, without compilers, emulator or apt, not as root."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "env"):
        (tools / name).symlink_to(shutil.which(name))
    stand_in(tools, "python3", f'echo "python3 $*" >> calls; exec {sys.executable} "$@"')
    stand_in(tools, "id", "echo 1000")
    scripts = tmp_path / "checkout/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup.sh", scripts)
    return tools


def run_setup(tools: Path, purpose: str) -> subprocess.CompletedProcess:
    script = tools.parent / "checkout/scripts/setup.sh"
    return subprocess.run(
        [script, purpose], env={"PATH": str(tools)}, capture_output=True, text=True
    )


def test_set_up_without_rights_says_what_to_install(bare_machine):
    done = run_setup(bare_machine, "demo")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "setup: cannot install packages here; please install: gcc gcc-arm-none-eabi "
        "libnewlib-arm-none-eabi qemu-system-arm\n"
    )
    assert "clang" in run_setup(bare_machine, "test").stderr


def test_set_up_refuses_an_old_python(bare_machine):
    stand_in(bare_machine, "python3", "exit 1")
    done = run_setup(bare_machine, "lint")
    assert done.returncode == 1
    assert done.stderr == "setup: python3 is older than Python 3.10; set PYTHON to a newer one\n"


def test_set_up_installs_only_what_is_missing(bare_machine):
    checkout = bare_machine.parent / "checkout"
    stand_in(bare_machine, "id", "echo 0")
    stand_in(bare_machine, "apt-get", 'echo "apt-get $*" >> calls')
    for name in ("gcc", "clang", "cmake", "cppcheck", "qemu-system-arm", "qemu-system-riscv32"):
        stand_in(bare_machine, name, "")
    stand_in(bare_machine, "arm-none-eabi-gcc", "echo libc.a")  # compilers without C library
    stand_in(bare_machine, "riscv64-unknown-elf-gcc", "echo picolibc.specs")
    for name in ("pip", "python"):
        (checkout / ".venv").mkdir(exist_ok=True)
        stand_in(checkout / ".venv/bin", name, 'echo "venv $*" >> calls')
    assert run_setup(bare_machine, "test").returncode == 0
    calls = (checkout / "calls").read_text().splitlines()
    assert [call for call in calls if "python3" not in call] == [
        "apt-get -qq -o DPkg::Lock::Timeout=600 update",
        "apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "
        "libnewlib-arm-none-eabi picolibc-riscv64-unknown-elf",
        "venv -m pip install -qq --disable-pip-version-check -e .[test]",
    ]


@pytest.mark.parametrize(
    "reason, shared, code",
    [("shared/models is missing", True, 1), ("shared/models is missing", False, 0), ("", True, 0)],
)
def test_ci_fails_when_tests_skip_shared_data_that_is_there(tmp_path, reason, shared, code):
    (tmp_path / "checkout/.ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", tmp_path / "checkout/.ci")
    if shared:
        (tmp_path / "shared").mkdir()
    case = "import pytest\ndef test_it():\n    pass\n"
    if reason:
        case += f"def test_model():\n    pytest.skip({reason!r})\n"
    (tmp_path / "test_case.py").write_text(case)
    pytest_line = f"{sys.executable} -m pytest -rs -p no:xdist -p no:cacheprovider {tmp_path}"
    stand_in(tmp_path / "bin", "make", f'echo "make $1"; [ "$1" != test ] || {pytest_line}')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", tmp_path / "checkout/.ci/run"],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    behind = ["make figures", "make newest-tvm"] if code == 0 else []
    made = ["make lint", "make demo", "make test", *behind]
    assert re.findall(r"^make .*", done.stdout, re.M) == made
    assert re.search(r"^.* passed", done.stdout, re.M)


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    shown = subprocess.check_output(["make", "-C", ROOT, "-s", "help"], text=True)
    assert sorted(re.findall(r"^([a-z-]+): ", shown, re.M)) == sorted(targets)
