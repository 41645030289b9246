"""Schedules beside PyTorch's."""

import pytest
import torch
from torch.optim import lr_scheduler

from tvm_ondevice_train.learning.schedule import CONSTANT, COSINE, STEP, Schedule

STEPS, WARMUP = 50, 5
AFTER = {
    CONSTANT: lambda optimizer: lr_scheduler.ConstantLR(optimizer, 1.0),
    COSINE: lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS - WARMUP),
    STEP: lambda optimizer: lr_scheduler.StepLR(optimizer, (STEPS - WARMUP) // 3),
}


@pytest.mark.parametrize("kind", AFTER)
def test_shares_are_pytorchs(kind):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    warmup = lr_scheduler.LinearLR(optimizer, 1 / WARMUP, total_iters=WARMUP - 1)
    both = lr_scheduler.SequentialLR(optimizer, [warmup, AFTER[kind](optimizer)], [WARMUP])
    schedule = Schedule(kind, STEPS, WARMUP)
    for step in range(STEPS):
        assert schedule.share(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        both.step()
