"""Gradients that are summed over a batch on the device, against PyTorch and single steps."""

import numpy as np
import pytest
import torch
from shared import slow
from tiny_projects import run_with
from torch_network import TorchNetwork, samples

import tvm_ondevice_train as odt
from relay_passes.optimizers import AdamW, Momentum
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.protocol import DIVERGED, DeviceError, Frame
from tvm_ondevice_train.run.run_project import run_project

RATE = 0.1


SIZE, LIMIT = 4, 0.3
FLOAT = Momentum(RATE, momentum=0.5, clip_norm=LIMIT)
CODES = Momentum(RATE, momentum=0.0)
SUMS = {"quantized": True, "batch": SIZE, "accumulator": "float32"}


@pytest.mark.parametrize("limit", [0.0, LIMIT])
def test_float_parameters_are_those_of_pytorch(limit, project):
    """Five batches and a last one of two samples."""
    network = TorchNetwork(lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.5))
    x, y = samples(5 * SIZE + 2)
    with Session(project(FLOAT, quantized=False, batch=SIZE)[1]) as device:
        device.set_hyperparameters(clip_norm=limit)
        for sample in zip(x, y, strict=True):
            device.train(*sample)
        device.apply()
        found = device.parameters()
        device.apply()  # no sample waits
        assert all(np.array_equal(found[n], v) for n, v in device.parameters().items())
        assert device.stats()["steps"] == len(x)
    for first in range(0, len(x), SIZE):
        network.train(x[first : first + SIZE], y[first : first + SIZE], limit or None)
    network.assert_near(found)


def test_adamw_in_clipped_batches_is_pytorchs(project):
    network = TorchNetwork(lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1))
    optimizer = AdamW(0.01, weight_decay=0.1, clip_norm=LIMIT)
    x, y = samples(5 * SIZE)
    with Session(project(optimizer, batch=SIZE)[1]) as device:
        for sample in zip(x, y, strict=True):
            device.train(*sample)
        for first in range(0, len(x), SIZE):
            network.train(x[first : first + SIZE], y[first : first + SIZE], LIMIT)
        network.assert_near(device.parameters())


def everything(device) -> bytes:
    """All of odt_params_t."""
    return device._request(Frame.GET_PARAMS)


def test_a_batch_of_one_is_a_step_without_batches_bit_for_bit(project):
    """Of codes, too: the mean of one gradient is that gradient, and the seed the step's."""
    plain = project(CODES, quantized=True)[1]
    batched = project(CODES, **SUMS)[1]
    with Session(plain) as expected, Session(batched) as device:
        device.set_batch(1)
        for sample in zip(*samples(8, np.int8), strict=True):
            assert device.train(*sample) == expected.train(*sample)
        for found, wanted in (
            (device.parameters(), expected.parameters()),
            (device.optimizer_states(), expected.optimizer_states()),
        ):
            assert all(found[n].tobytes() == value.tobytes() for n, value in wanted.items())


def test_codes_follow_the_mean_of_the_gradients(project):
    """Gradients are what a device without batches gets for its velocity from nothing."""
    plain = project(CODES, quantized=True)[1]
    batched = project(CODES, **SUMS)[1]
    x, y = samples(2 * SIZE, np.int8)
    with Session(plain) as gradients, Session(batched) as device:
        for first in (0, SIZE):
            start = device.parameters()
            sums = dict.fromkeys(start, 0.0)
            for index in range(first, first + SIZE):
                gradients.set_parameters(start)
                gradients.train(x[index], y[index])
                for name, value in gradients.optimizer_states().items():
                    sums[name.removesuffix(".velocity")] += value.astype(np.float64)
                device.train(x[index], y[index])
                if index < first + SIZE - 1:  # nothing moves before the last sample
                    assert all(np.array_equal(start[n], v) for n, v in device.parameters().items())
                    for name, value in device.gradient_sums().items():
                        assert_near(value, sums[name.removesuffix(".accumulator")])
            for name, value in device.optimizer_states().items():
                assert_near(value, sums[name.removesuffix(".velocity")] / SIZE)
            assert not any(value.any() for value in device.gradient_sums().values())
            after = device.parameters()
            assert any(not np.array_equal(start[n], v) for n, v in after.items())


def assert_near(found, expected):
    """To 1e-6 of the largest value."""
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("options", [{}, {"accumulator": "int16"}], ids=["float32", "int16"])
def test_a_step_that_diverges_leaves_the_sums_as_they_were(options, project):
    """Each gradient is finite, as is the loss, until a sum is not."""
    _, directory = project(CODES, **{**SUMS, **options})
    x, y = samples(SIZE, np.int8)
    done = 0
    with Session(directory) as device:
        device.set_batch(1000)
        device.train(x[1], y[1])
        signs = np.sign(np.random.default_rng(1).normal(size=(3, 4, 1, 1)))
        device.set_parameters({"head.weight": (4e37 * signs).astype(np.float32)})
        label = device.predict(x[0]).argmin()
        with pytest.raises(DeviceError) as error:
            for _ in range(500):
                before, steps = everything(device), device.stats()["steps"]
                device.train(x[0], label)
                done += 1
        assert error.value.code == DIVERGED and done
        assert everything(device) == before and device.stats()["steps"] == steps == done + 1
        device.train(x[1], y[1])
        assert device.stats()["steps"] == steps + 1


def test_sums_in_16_bits_are_off_by_half_a_code_a_sample(project):
    """A code is a part in 32,767 of the largest number of its row; vectors stay float32."""
    exact = project(CODES, **SUMS)
    coded = project(CODES, **{**SUMS, "accumulator": "int16"})
    sums = coded[0].manifest.batches.sums
    assert {name: entry.dtype for name, entry in sums.items()} == {
        "conv.weight.accumulator": "int16",
        "conv.bias.accumulator": "float32",
        "head.weight.accumulator": "int16",
        "head.bias.accumulator": "float32",
        "conv.weight.accumulator_peak": "float32",
        "head.weight.accumulator_peak": "float32",
    }
    found, wanted = (one[0].report["accumulator_bytes"] for one in (coded, exact))
    assert (coded[0].report["accumulator"], exact[0].report["accumulator"]) == ("int16", "float32")
    assert wanted - found == 2 * (72 + 12) - 4 * (4 + 3)
    x, y = samples(SIZE, np.int8)
    with Session(exact[1]) as reference, Session(coded[1]) as device:
        for done in range(1, SIZE):
            for one in (reference, device):
                one.train(x[done - 1], y[done - 1])
            wanted, found = reference.gradient_sums(), device.gradient_sums()
            for name in ("conv.weight.accumulator", "head.weight.accumulator"):
                codes, peak = found[name], found[f"{name}_peak"].astype(np.float64)
                total, axes = wanted[name], (1, 2, 3)
                assert (np.abs(total).max(axes) <= peak * (1 + 1e-5)).all()
                assert np.abs(codes).max() > 16000 and codes.any()
                unit = (peak / 32767)[:, None, None, None]
                assert (np.abs(codes * unit - total) <= unit * (done / 2 + 0.01)).all()
            assert np.array_equal(found["conv.bias.accumulator"], wanted["conv.bias.accumulator"])
        for one in (reference, device):
            one.train(x[-1], y[-1])
        assert not any(value.any() for value in device.gradient_sums().values())
        velocities = device.optimizer_states()
        for name, value in reference.optimizer_states().items():
            assert np.abs(velocities[name] - value).max() <= 1e-4 * np.abs(value).max()


@pytest.mark.parametrize("rollback", [True, pytest.param(False, marks=slow)])
def test_an_update_that_diverges_drops_its_batch(rollback, project):
    options = {} if rollback else {"rollback": False}
    _, directory = project(CODES, **{**SUMS, **options})
    x, y = samples(4, np.int8)
    with Session(directory) as device:
        device.set_batch(2)
        device.train(x[0], y[0])
        before = device.parameters()
        device.set_learning_rate(3e38)
        with pytest.raises(DeviceError) as error:
            device.train(x[1], y[1])
        assert error.value.code == DIVERGED
        after = device.parameters()
        assert rollback == all(np.array_equal(before[n], v) for n, v in after.items())
        assert all(np.isfinite(value).all() for value in after.values())
        assert not any(value.any() for value in device.gradient_sums().values())
        assert device.stats()["steps"] == 1
        device.set_learning_rate(RATE)
        device.set_parameters(before)
        for index in (2, 3):
            device.train(x[index], y[index])
        assert any(not np.array_equal(before[n], v) for n, v in device.parameters().items())


def test_half_a_batch_is_saved_and_gone_on_with(project):
    _, directory = project(CODES, **SUMS)
    x, y = samples(8, np.int8)
    with Session(directory) as device:
        for sample in zip(x, y, strict=True):
            device.train(*sample)
        expected = everything(device)
        device.reset()
        for index in range(6):
            device.train(x[index], y[index])
        device.save()
    with Session(directory) as device:
        device.load()
        for index in (6, 7):
            device.train(x[index], y[index])
        assert everything(device) == expected


def test_the_size_of_a_batch_changes_while_the_device_runs(project):
    _, directory = project(CODES, **SUMS)
    x, y = samples(6, np.int8)
    with Session(directory) as device:
        start = device.parameters()

        def moves(*indices):
            for index in indices:
                device.train(x[index], y[index])
            return any(not np.array_equal(start[n], v) for n, v in device.parameters().items())

        assert not moves(0, 1, 2)
        device.set_batch(2)
        assert moves(3)  # the batch had three already
        start = device.parameters()
        assert not moves(4) and moves(5)
        for wrong in (0, -1, 2.5, True, 1 << 24):
            with pytest.raises(odt.OdtError, match="it must be an integer from 1 to 16,777,215"):
                device.set_batch(wrong)


def test_a_project_without_batches_says_so_and_applies_nothing(project):
    _, directory = project(CODES, quantized=True)
    (x,), (y,) = samples(1, np.int8)
    with Session(directory) as device:
        device.train(x, y)
        before = everything(device)
        device.apply()
        assert everything(device) == before and device.gradient_sums() == {}
        with pytest.raises(odt.OdtError, match="compile it with --batch"):
            device.set_batch(4)


def test_sums_are_counted_and_lie_in_sram(project):
    plain, _ = project(CODES, quantized=True)
    batched, _ = project(CODES, **SUMS)
    elements = sum(value.size for value in plain.initial.values())
    report = batched.report
    assert report["accumulator_bytes"] == 4 * elements + 8  # and two counts
    grown = report["trainable_state_bytes"] - plain.report["trainable_state_bytes"]
    assert grown == report["accumulator_bytes"] and plain.report["accumulator_bytes"] == 0
    assert (report["batch"], plain.report["batch"]) == (SIZE, None)
    assert report["flash_bytes"] == plain.report["flash_bytes"]
    sums = batched.manifest.batches.sums
    assert sum(np.prod(entry.shape) for entry in sums.values()) == elements


PROGRAM = """
#include "model.h"
static odt_t odt;
static uint8_t arena[ODT_ARENA_BYTES] __attribute__((aligned(ODT_ARENA_ALIGN)));
int main(void) {
  if (odt_apply(&odt) != ODT_ERR_NULL || odt_apply(NULL) != ODT_ERR_NULL) return 1;
  if (odt_set_batch(&odt, 1) != ODT_ERR_NULL || odt_set_batch(NULL, 1) != ODT_ERR_NULL) return 2;
  if (odt_init(&odt, arena, sizeof arena) != ODT_OK || odt.params.batch[0] != 4) return 3;
  if (odt_set_batch(&odt, 0) != ODT_ERR_HYPERPARAMETER) return 4;
  if (odt_set_batch(&odt, ODT_MOST_SAMPLES + 1) != ODT_ERR_HYPERPARAMETER) return 5;
  if (odt.params.batch[0] != 4 || odt.params.accumulated[0] != 0) return 6;
  if (odt_set_batch(&odt, 7) != ODT_OK || odt.params.batch[0] != 7) return 7;
  if (odt_apply(&odt) != ODT_OK || odt.steps != 0) return 8;
  return 0;
}
"""


@pytest.mark.parametrize(
    ("optimizer", "options"), [(FLOAT, {"quantized": False, "batch": SIZE}), (CODES, SUMS)]
)
def test_c_refuses_a_batch_out_of_range(optimizer, options, project, tmp_path):
    compiled, _ = project(optimizer, **options)
    assert run_with(compiled, PROGRAM, tmp_path) == 0


@slow
@pytest.mark.parametrize("board", ["mps2-an386", "mps3-an547"])
def test_a_board_learns_from_batches_as_the_host_does(board, project):
    optimizer = AdamW(0.01, clip_norm=LIMIT)
    x, y = samples(6, np.int8)
    found = []
    for name in ("host", board):
        compiled, directory = project(optimizer, quantized=True, batch=SIZE, board=name)
        with Session(directory) as device:
            for sample in zip(x, y, strict=True):
                device.train(*sample)
            device.apply()
            found.append((device.parameters(), device.optimizer_states()))
            stats = device.stats()
    host, own = found
    for ours, theirs in zip(own, host, strict=True):
        assert all(ours[n].tobytes() == value.tobytes() for n, value in theirs.items())
    assert stats["state_bytes"] == compiled.report["trainable_state_bytes"]
    assert stats["arena_bytes"] == compiled.report["arena_bytes"]


@pytest.mark.parametrize("save", [False, True])
def test_a_run_ends_with_the_samples_that_wait(save, project):
    """But where the device keeps what it learned, and the next run goes on with the batch."""
    compiled, directory = project(CODES, **SUMS)
    x, y = samples(SIZE - 1, np.int8)
    run_project(directory, (x, y), steps=SIZE - 1, learning_rate=RATE, save=save)
    with np.load(directory / "learned.npz") as learned:
        moved = [not np.array_equal(learned[name], v) for name, v in compiled.initial.items()]
    assert any(moved) != save
