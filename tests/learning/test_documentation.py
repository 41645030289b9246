"""docs/learning.md: its Python runs as written, and run.json has the keys that it says."""

import json
import re
from pathlib import Path

import numpy as np
from fake_project import fake_project, samples

from tvm_ondevice_train.run.run_project import run_project

TEXT = (Path(__file__).parents[2] / "docs/learning.md").read_text()


def test_the_learner_of_your_own(tmp_path, monkeypatch, capsys):
    x, y = samples(100)
    np.savez(tmp_path / "samples.npz", x=x, y=y)
    fake_project(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    assert "'accuracy'" in capsys.readouterr().out


def test_the_keys_of_run_json(tmp_path):
    project = fake_project(tmp_path / "project")
    run_project(project, samples(20), steps=3, evaluate=True)
    found = set(json.loads((project / "run.json").read_text()))
    (table,) = re.findall(r"`run.json`:\n\n(.*?)\n\n", TEXT, re.DOTALL)
    told = {
        key for line in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    told |= {"diverged", "model_hash", "wall_seconds", "stack_reserved_bytes", "stack_bound_bytes"}
    assert found == told | {"instructions_forward", "cycles_forward"}
