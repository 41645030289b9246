"""What stands in for the compiler and for a run: what they would have returned."""

import json
from pathlib import Path

from tvm_ondevice_train.cli import main

REPORT = {
    "model": "kws",
    "scheme": "bias:2",
    "peak_sram_bytes": 131072,
    "arena_bytes": 100000,
    "arena_lower_bound_bytes": 99984,
    "trainable_state_bytes": 20000,
    "stack_bytes": 8192,
    "flash_bytes": 524288,
    "flash_holds_code": True,
    "not_trained": {"k": "a single number", "a": "b", "c": "d", "e": "f"},
    "output": "logits; the softmax is left to the loss",
    "plain_loops": [
        {"op": "conv:qconv2d", "macs": 27000, "share": 0.01, "reason": "odt_window has no dilation"}
    ],
    "macs_forward": 2656768,
    "macs_forward_integer": 2656768,
    "macs_backward": 123456,
    "macs_backward_integer": 61728,
    "backward": "int16",
    "sram_budget_bytes": 262144,
    "flash_budget_bytes": 1048576,
    "backup_bytes": 4096,
    "batch": 4,
    "replay": {"slots": 12, "of": "features", "memory": "ram", "policy": "balanced"},
    "accumulator": "float32",
    "accumulator_bytes": 1048,
    "head": "the model's own, as float32",
    "trained_parameters": {"w": {"shape": [4, 64]}, "b": {"shape": [4]}},
}
RESULT = {
    "losses": [2.5, 1.25, 0.5],
    "steps": 4,
    "diverged": [2],
    "warnings": ["the loss rose"],
    "accuracy_before": 0.5,
    "accuracy_after": 0.925,
    "error_before": None,
    "peak_sram_bytes": 123456,
    "instructions_per_step": 7654321,
    "wall_seconds": 1.5,
}


class FakeCompiled:
    """Its report is only in the project that it saves, as that of the flash with its code is."""

    def __init__(self):
        self.saved, self.report = None, REPORT

    def save(self, directory, platform=None, transport=None, force=False, say=print):
        self.saved = directory, platform, transport
        Path(directory).mkdir(parents=True)
        Path(directory, "report.json").write_text(json.dumps(self.report))
        return Path(directory)


def refused(capsys, arguments) -> str:
    """The one line on stderr of a refused command line."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ondevice-train: error: ")
    assert printed.err.count("\n") == 1
    return printed.err
