"""A head that grows is the same on this computer and on emulated boards, to the last bit."""

import numpy as np
import pytest
from shared import slow_after
from tiny_models import compiled, images

from relay_passes.graph import ALIGN
from tvm_ondevice_train.device import Session

BOARDS = ("mps2-an500", "mps3-an547", "virt-rv32imac")
OPTIONS = {"classes": 3, "max_classes": 5, "head": "cosine", "learning_rate": 0.02}


def learned(board, directory, prefix=None):
    """What a device holds that imprinted, trained, saved and loaded; its SRAM, and the account."""
    made = compiled("cnn_int8", "last:1", board=board, prefix=prefix, **OPTIONS)
    x, y = images(8)
    with Session(made.save(directory)) as device:
        assert device.add_class() == 3
        for sample, label in zip(x, y % 4, strict=True):
            device.imprint(sample, label)
        losses = [device.train(*pair) for pair in zip(x, y % 4, strict=True)]
        device.save()
        device.reset()
        device.load()
        assert device.classes() == 4
        stats = device.stats()
        values = {name: value.tobytes() for name, value in device.parameters().items()}
        return losses, values, device.predict(x[0]).tobytes(), stats, made.report


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return learned("host", tmp_path_factory.mktemp("host") / "project", prefix="shop")


@pytest.mark.parametrize("board", slow_after(1, BOARDS))
def test_an_emulated_board_learns_the_same_classes(board, host, tmp_path):
    *found, stats, report = learned(board, tmp_path / "project")
    assert found == list(host[:3])
    parts = ("arena_bytes", "state_bytes", "static_bytes", "stack_reserved")
    measured = sum(stats[part] for part in parts)
    assert 0 <= report["peak_sram_bytes"] - measured < 2 * ALIGN  # what lies between them
    assert np.isfinite(found[0]).all()
