"""Gradients that are summed over a batch on the device, against PyTorch and single steps."""

import numpy as np
import pytest
import tiny
import torch
from torch_network import TorchNetwork, samples

import tvm_ondevice_train as odt
from relay_passes.optimizers import SGD, AdamW, Momentum
from tvm_ondevice_train.device import Session

RATE = 0.1


def project(directory, optimizer=SGD(RATE), quantized=False, **options):  # noqa: B008
    model = tiny.network(quantized=quantized)
    options = {"scheme": "full", "board": "host", "optimizer": optimizer, **options}
    compiled = odt.compile(model, **options)
    return compiled, compiled.save(directory)


@pytest.mark.parametrize("limit", [0.0, 0.3])
@pytest.mark.parametrize("size", [4])
def test_float_parameters_are_those_of_pytorch(size, limit, tmp_path):
    """Five batches and a last one of two samples."""
    network = TorchNetwork(lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.5))
    optimizer = Momentum(RATE, momentum=0.5, clip_norm=limit)
    x, y = samples(5 * size + 2)
    with Session(project(tmp_path / "p", optimizer, batch=size)[1]) as device:
        for sample in zip(x, y, strict=True):
            device.train(*sample)
        device.apply()
        found = device.parameters()
        device.apply()  # no sample waits
        assert all(np.array_equal(found[n], v) for n, v in device.parameters().items())
        assert device.stats()["steps"] == len(x)
    for first in range(0, len(x), size):
        network.train(x[first : first + size], y[first : first + size], limit or None)
    network.assert_near(found)


def test_adamw_in_clipped_batches_is_pytorchs(tmp_path):
    network = TorchNetwork(lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1))
    optimizer = AdamW(0.01, weight_decay=0.1, clip_norm=0.3)
    x, y = samples(20)
    with Session(project(tmp_path / "p", optimizer, batch=4)[1]) as device:
        for sample in zip(x, y, strict=True):
            device.train(*sample)
        for first in range(0, len(x), 4):
            network.train(x[first : first + 4], y[first : first + 4], 0.3)
        network.assert_near(device.parameters())
