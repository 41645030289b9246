"""The look at the newest TVM: one line and exit code 0, whatever it finds."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/newest_tvm.py"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script, for which this environment is the one with the newest TVM."""
    spec = importlib.util.spec_from_file_location("newest_tvm", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "installed", lambda folder: sys.executable)
    return module


def line(script, folder, capsys):
    script.main(folder)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    return printed.strip()


def test_what_works_is_said_with_its_versions(script, tmp_path, capsys):
    script.CHECKS = {name: script.CHECKS[name] for name in ("import", "compile")}
    found = line(script, tmp_path, capsys)
    assert found.startswith("apache-tvm 0.") and ", apache-tvm-ffi 0." in found
    assert found.endswith(": works (import, compile)")
    assert (tmp_path / "project/model.c").is_file()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("raise ImportError('no tirx any more')", "ImportError: no tirx any more"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("raise SystemExit(3)", "without a word"),
    ],
)
def test_a_broken_import_is_a_finding_and_no_error(script, module, reason, tmp_path, capsys):
    (tmp_path / "tvm.py").write_text(module)
    assert line(script, tmp_path, capsys).endswith(f": fails: import: {reason}")


def test_what_cannot_be_installed_is_a_finding_too(tmp_path):
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "new"],
        env=os.environ | offline,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the newest TVM: fails: install: ERROR: No matching distribution")
