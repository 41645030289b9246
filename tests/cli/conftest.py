"""A compiler and a run that only note what they are asked for."""

import pytest
from fake_commands import RESULT, FakeCompiled

import tvm_ondevice_train


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """Replaces `tvm_ondevice_train.compile`; `calls` holds its arguments."""
    monkeypatch.chdir(tmp_path)

    class Compiler:
        def __init__(self):
            self.calls, self.compiled, self.error = [], FakeCompiled(), None

        def __call__(self, model, options):
            self.calls.append((model, options))
            if self.error:
                raise self.error
            return self.compiled

    fake = Compiler()
    monkeypatch.setitem(vars(tvm_ondevice_train), "compile", fake)
    return fake


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "kws.tflite"
    path.write_bytes(b"model")
    return str(path)


@pytest.fixture
def runner(monkeypatch):
    """Replaces `run_project`, reports three steps; the list holds its arguments."""
    calls = []

    def run_project(directory, data, *, on_progress, say, **options):
        calls.append((directory, data, options))
        for step, loss in enumerate(RESULT["losses"], 1):
            on_progress(step, 3, loss)
        return RESULT

    monkeypatch.setattr("tvm_ondevice_train.run.run_project.run_project", run_project)
    return calls
