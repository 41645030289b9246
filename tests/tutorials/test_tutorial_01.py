"""The first tutorial, with fewer epochs than a reader gives it."""

import json
import runpy
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "tutorials" / "01_train_on_a_microcontroller.py"


def test_the_device_learns_what_the_desk_could_not_teach_it(tmp_path):
    story = runpy.run_path(str(TUTORIAL))
    story["main"].__globals__.update(PRETRAIN_EPOCHS=4, ADAPT_EPOCHS=1)
    result = story["main"](str(tmp_path))
    assert result["steps"] == 400
    assert result["accuracy_before"] < 0.3
    assert result["accuracy_after"] > 0.5
    assert 0 < result["peak_sram_bytes"] < 37_000  # rollback's backups and a float head are in it
    assert json.loads((tmp_path / "device" / "run.json").read_text())["losses"] == result["losses"]
