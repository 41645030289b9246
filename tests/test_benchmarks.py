"""The benchmarks still run, and the results that are committed are what they give."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from shared import shared_path, slow

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
CASE = "mcunet-5fps/49kb"
STAGES = ["none", "sparse", "+ dead gradients", "+ reorder", "+ in place"]


OPERATORS = ["1x1 16x16x48->96", "depthwise 3x3 16x16x96", "3x3 16x16x32->32"]
OPERATORS += ["residual add 16x16x48"]


@cache
def committed(name: str = "memory") -> dict:
    return json.loads((BENCHMARKS / f"{name}.json").read_text())


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


@slow
def test_the_committed_figures_are_those_of_this_code(fresh):
    now, then = deterministic(fresh), deterministic(committed())
    if fresh["compiler"] != committed()["compiler"]:
        for case in (now, then):
            del case["measured"]
    assert now == then


@slow
def test_replay_keeps_what_learning_a_speaker_costs(tmp_path):
    """benchmarks/replay.py in its small form."""
    shared_path("data/fsdd/recordings.zip")
    output = tmp_path / "replay.json"
    script = [sys.executable, str(BENCHMARKS / "replay.py"), "--small", "--output", output]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mean = json.loads(output.read_text())["mean"]
    ((_, without),), ((_, kept),) = mean["without"].items(), mean["with"].items()
    assert kept["old"] > without["old"] + 0.05 and kept["new"] > without["new"] - 0.05


@slow
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
    whole = final["peak_bytes"] + case["rollback_bytes"]
    assert case["measured"]["linked_sram_bytes"] == whole
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
    for case in cases.values():
        whole = case["planned"]["+ in place"]["peak_bytes"] + case["rollback_bytes"]
        assert case["measured"]["linked_sram_bytes"] == whole


def test_a_case_that_is_not_there_is_named():
    shared_path("models/mcunet_int8")
    script = [sys.executable, str(BENCHMARKS / "memory.py"), "--only", "teapot"]
    result = subprocess.run(script, capture_output=True, text=True)
    assert result.returncode == 2 and "no case is called teapot" in result.stderr


@pytest.fixture(scope="module")
def fresh_operators(tmp_path_factory) -> dict:
    """What benchmarks/speed.py writes of the single operators."""
    output = tmp_path_factory.mktemp("benchmark") / "speed.json"
    script = [sys.executable, str(BENCHMARKS / "speed.py"), "--only", "operator"]
    result = subprocess.run([*script, "--output", output], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(output.read_text())


@slow
def test_the_committed_operators_are_those_of_this_code(fresh_operators):
    then = {row["name"]: row for row in committed("speed")["rows"]}
    for row in fresh_operators["rows"]:
        assert row.keys() == then[row["name"]].keys()
        if fresh_operators["compiler"] == committed("speed")["compiler"]:
            assert row == then[row["name"]]


@slow
def test_the_rows_of_the_operators(fresh_operators):
    rows = {row["name"]: row for row in fresh_operators["rows"]}
    assert list(rows) == [*OPERATORS, *(f"plain C, {name}" for name in OPERATORS)]
    for name in OPERATORS:
        ours, plain = rows[name], rows[f"plain C, {name}"]
        assert ours["macs"] == plain["macs"] and ours["elements"] == plain["elements"]
        per = "per_element" if "add" in name else "per_mac"
        work = ours["elements" if "add" in name else "macs"]
        assert ours[per] == pytest.approx(ours["instructions"] / work, abs=1e-3)
        value = ours["instructions"] / work
        met = "goal" if value <= ours["goal"] else "must" if value <= ours["must"] else "no"
        assert (
            ours["met"] == met and plain["met"] is None and "measured elsewhere" in ours["source"]
        )


def test_every_network_is_committed_with_its_ops():
    content = committed("speed")
    kinds = ["int16", "float32", "bfloat16", "float8", "int16 (prefer speed)", "int16 (untuned)"]
    names = [f"MCUNet 49 KB, {kind}, cortex-m7" for kind in kinds]
    names.append("MCUNet 49 KB, int16, cortex-m55")
    assert list(content["networks"]) == [*names, "MLPerf Tiny VWW", "MLPerf Tiny KWS"]
    rows = {row["name"]: row for row in content["rows"]}
    for name, network in content["networks"].items():
        part = "step" if "MCUNet" in name else "forward"
        total = network[f"instructions_{part}"]
        apart = network[f"instructions_{part}_kernels_apart"]
        assert rows[f"{name}: {part}"]["instructions"] == total
        assert apart == pytest.approx(total, rel=0.1)
        counted = sum(op["instructions"] for op in network["ops"])
        assert 0.99 * apart < counted <= apart  # the input's way into the arena is no op
        assert all((op["per_mac"] is None) == (op["macs"] == 0) for op in network["ops"])
        passes = {op["pass"] for op in network["ops"]}
        assert passes == ({"forward", "backward"} if part == "step" else {"forward"})
        if part == "step":
            gradients = [
                op for op in network["ops"] if "gradient" in op["group"] or op["group"] == "update"
            ]
            assert gradients and {op["pass"] for op in gradients} == {"backward"}
            halves = [rows[f"{name}: {half}"] for half in ("forward", "backward and update")]
            assert sum(half["instructions"] for half in halves) == total
    assert (BENCHMARKS / "speed.png").stat().st_size > 10_000


def test_a_speed_case_that_is_not_there_is_named():
    script = [sys.executable, str(BENCHMARKS / "speed.py"), "--only", "teapot"]
    result = subprocess.run(script, capture_output=True, text=True)
    assert result.returncode == 2 and "no case is called teapot" in result.stderr
