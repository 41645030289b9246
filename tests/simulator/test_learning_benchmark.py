"""benchmarks/learning.py in its small form, and what its full form must have given."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from shared import shared_path, slow

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CASES = {"digits", "spoken digits", "head", "bias:12", "mcunet-5fps-100kb"}
SPEED = {"effective_steps_a_second", "steps_a_second_without_cache", "times_pytorch"}


@slow
def test_the_small_form(tmp_path):
    for needed in ("models/mcunet_int8", "models/mlperf_tiny", "data/fsdd", "data/clothing_small"):
        shared_path(needed)
    script = [sys.executable, str(BENCHMARKS / "learning.py"), "--small"]
    result = subprocess.run(
        [*script, "--output", str(tmp_path / "found.json")], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    rows = found["cases"]["digits"]
    assert rows["found"]["mean"] >= rows["tuned"]["mean"] - 0.02 and rows["found"]["mean"] > 0.9
    assert found["cases"]["spoken digits"]["found"]["mean"] > 0.5  # after one epoch
    assert set(found["speed"]) >= SPEED and all(found["speed"][name] > 1 for name in SPEED)


def test_the_committed_figures_keep_to_what_must_be():
    path = BENCHMARKS / "learning.json"
    if not path.exists():
        pytest.skip("benchmarks/learning.json was not measured yet")
    found = json.loads(path.read_text())
    must, cases = found["must"], found["cases"]
    assert cases.keys() == CASES
    assert cases["mcunet-5fps-100kb"]["found"]["mean"] >= must["accuracy"]
    for rows in cases.values():
        assert rows["found"]["mean"] >= rows["tuned"]["mean"] - 0.02
    for name in ("effective_steps_a_second", "times_pytorch"):
        assert found["speed"][name] >= must[name]
