"""The benchmarks still run, and the results that are committed are what they give."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from shared import shared_path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
CASE = "mcunet-5fps/49kb"
STAGES = ["none", "sparse", "+ dead gradients", "+ reorder", "+ in place"]


@cache
def committed() -> dict:
    return json.loads((BENCHMARKS / "memory.json").read_text())


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> dict:
    """What benchmarks/memory.py writes of one case."""
    shared_path("models/mcunet_int8")
    output = tmp_path_factory.mktemp("benchmark") / "memory.json"
    script = [sys.executable, str(BENCHMARKS / "memory.py"), "--only", CASE, "--output", output]
    result = subprocess.run(script, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert CASE in result.stdout
    return json.loads(output.read_text())


def deterministic(content: dict) -> dict:
    """The case's figures but the seconds."""
    return {k: v for k, v in content["cases"][CASE].items() if k != "compile_seconds"}


def test_the_committed_figures_are_those_of_this_code(fresh):
    now, then = deterministic(fresh), deterministic(committed())
    if fresh["compiler"] != committed()["compiler"]:
        for case in (now, then):
            del case["measured"]
    assert now == then


def test_what_a_case_holds(fresh):
    case = fresh["cases"][CASE]
    planned, final = case["planned"], case["planned"]["+ in place"]
    assert list(planned) == STAGES
    peaks = [stage["peak_bytes"] for stage in planned.values()]
    assert peaks == sorted(peaks, reverse=True) and peaks[-1] < peaks[1] < peaks[0]
    assert all(stage["arena_bytes"] < stage["peak_bytes"] for stage in planned.values())
    halves = [final[half]["peak_bytes"] for half in ("forward", "backward")]
    assert max(halves) == case["arena_lower_bound_bytes"]
    assert final["arena_bytes"] == case["arena_lower_bound_bytes"] + case["gap_bytes"]
    assert case["measured"]["linked_sram_bytes"] == final["peak_bytes"]
    assert abs(case["formula"]["kb"] - case["formula"]["published_kb"]) <= 0.05
    assert 0 < case["compile_seconds"] < 60


def test_every_case_is_committed_and_keeps_to_its_limits():
    cases = committed()["cases"]
    models = {name.partition("/")[0] for name in cases}
    assert len(cases) == 33 and len(models) == 3
    for path in (BENCHMARKS / "schemes").iterdir():
        network, _, scheme = path.stem.rpartition("-")
        assert f"{network}/{scheme}" in cases
    limits = [limit for case in cases.values() for limit in case["limits"].values()]
    assert len(limits) == 9 and all(limit["met"] for limit in limits)
    assert all(case["gap_bytes"] == 0 for case in cases.values())


def test_a_case_that_is_not_there_is_named():
    shared_path("models/mcunet_int8")
    script = [sys.executable, str(BENCHMARKS / "memory.py"), "--only", "teapot"]
    result = subprocess.run(script, capture_output=True, text=True)
    assert result.returncode == 2 and "no case is called teapot" in result.stderr
