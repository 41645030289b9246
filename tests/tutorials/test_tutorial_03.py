"""The third tutorial: it measures what it says, and tuning never costs."""

import json
import re
import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "tutorials" / "03_autotuning.py"


def test_a_kernel_is_tuned_and_the_network_is_not_slower(tmp_path):
    text = StringIO()
    with redirect_stdout(text):
        story = runpy.run_path(str(TUTORIAL))
        story["main"].__globals__.update(TRIALS=8)
        result = story["main"](str(tmp_path))
    task, best = result["task"], result["best"]
    assert task.name.startswith("expand:") and task.macs == 24 * 16 * 144
    defaults = {choice.name: choice.default for choice in task.choices}
    for name, costs in result["costs"].items():
        assert costs[defaults[name]] == best.default_cost
        assert len(costs) > 1 and min(costs.values()) >= task.macs / 2
    assert len({cost for costs in result["costs"].values() for cost in costs.values()}) > 4
    assert best.cost <= best.default_cost and result["tuned"] <= result["default"]
    assert set(best.decisions) == set(defaults)
    kernels = json.loads((tmp_path / "tune.json").read_text())["kernels"]
    assert list(kernels) == [task.signature]
    assert re.search(rf"tuned {result['tuned']:,} guest instructions", text.getvalue())
