"""`compile`: what is passed on, what is shown, which options are refused."""

from pathlib import Path

import pytest
from fake_commands import refused

from relay_passes.optimizers import Momentum
from tvm_ondevice_train.cli import main
from tvm_ondevice_train.losses import LOSSES
from tvm_ondevice_train.options import Options


def test_compile_passes_every_option_on(compiler, model, capsys):
    options = "--classes 4 --scheme bias:2 --loss mse --lr 0.5 --board mps2-an386"
    budget = "--sram 128KB --flash 0.5MB --platform host --backward bfloat16 --dump-ir ir"
    budget += " --prefer speed --no-rollback --tuning t.json --prefix kws"
    budget += " --optimizer momentum --momentum 0.8 --weight-decay 1e-4"
    budget += " --lr-scale head=2 --lr-scale *.bias=0.5 --optimizer-state int8"
    assert main(["compile", model, "-o", "project", *options.split(), *budget.split()]) == 0
    expected = Options(
        classes=4,
        scheme="bias:2",
        loss=LOSSES["mse"],
        optimizer=Momentum(
            *(0.5, 1e-4, 0.8), lr_scale={"head": 2, "*.bias": 0.5}, state_dtype="int8"
        ),
        board="mps2-an386",
        sram_bytes=131072,
        flash_bytes=524288,
        backward="bfloat16",
        prefer="speed",
        rollback=False,
        tuning="t.json",
        dump_ir="ir",
        prefix="kws",
    )
    assert compiler.calls == [(model, expected)]
    assert compiler.compiled.saved == ("project", "host", None)


@pytest.mark.parametrize("transport", [None, "uart", "semihosting"])
def test_platform_and_transport_are_the_boards_own_unless_named(compiler, model, transport):
    named = ["--transport", transport] if transport else []
    assert main(["compile", model, "-o", "project", *named]) == 0
    assert compiler.compiled.saved == ("project", None, transport)


def test_compile_shows_the_memory_account_beside_the_budget(compiler, model, capsys):
    assert main(["compile", model, "-o", "out/project"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    for row in (
        "kws on mps2-an500 bytes budget used",
        "arena 100,000",
        "trainable state 20,000",
        "stack, reserved 8,192",
        "static data 2,880",
        "SRAM 131,072 262,144 50%",
        "flash 524,288 1,048,576 50%",
        "arena, lower bound 99,984 bytes",
        "arena, above its bound 16 bytes; no plan without them was found",
        "forward 2,656,768 MACs, integer",
        "backward 123,456 MACs, 50.00% integer, 50.00% float32",
        "trained by bias:2 260 values, 2 parameters",
        "head the model's own, as float32",
        "not trained k (a single number), a (b), c (d) and 1 more",
        "output logits; the softmax is left to the loss",
        "arena, for rollback 4,096 bytes",
        "batches of 4 1,048 bytes of the state, float32",
        "replay features of 12 samples in ram, balanced",
        "in plain loops 1.0% of the MACs, 1 kernel",
        "1.0% conv:qconv2d: odt_window has no dilation",
    ):
        assert row.split() in rows
    assert rows[-1][-1] == str(Path("out/project/report.json"))


@pytest.mark.parametrize(
    "options, message",
    [
        ("--sram 256XB", "'256XB' is not a size in bytes"),
        ("--sram -1", "'-1' is not a size"),
        ("--sram 0", "'0' is not a size"),
        ("--flash 1.5", "'1.5' is not a size"),
        ("--sram 64MB", "sram_bytes"),
        ("--lr -0.1", "learning_rate is -0.1; it must be 0 or more, and finite"),
        ("--lr nan", "0 or more, and finite"),
        ("--lr inf", "0 or more, and finite"),
        ("--lr 1e39", "learning_rate is 1e+39; it must be 0 or more, and finite, as a float32"),
        ("--lr 1e-60", "learning_rate is 1e-60; it must be 0 or more, and finite, as a float32"),
        ("--optimizer momentum --momentum 0.99999999999", "and below 1, as a float32"),
        ("--lr fast", "'fast' is no number"),
        ("--optimizer momentum --momentum 1", "momentum is 1.0; it must be 0 or more, and below 1"),
        ("--weight-decay -1", "weight_decay is -1.0; it must be 0 or more, and finite"),
        ("--lr-scale head", "'head' is not NAME=F, such as head=2"),
        ("--lr-scale head=-1", "lr_scale is [["),
        ("--momentum 0.9", "optimizer sgd has no momentum, but learning_rate, clip_norm"),
        ("--optimizer lion", "'lion' is not one of"),
        ("--classes 1", "a classifier needs an integer from 2 to 65,536"),
        ("--classes 100000000", "a classifier needs an integer from 2 to 65,536"),
        ("--classes 2.5", "'2.5' is no integer"),
        ("--classes 4 --head int8", "head is int8, but classes make a fresh float32 head"),
        ("--head wood", "'wood' is not one of"),
        ("--loss hinge", "'hinge' is not one of"),
        ("--board tpu", "'tpu'"),
        ("--platform arduino", "'arduino' is not one of"),
        ("--unknown", "No such option"),
    ],
)
def test_a_wrong_option_of_compile_is_refused(compiler, model, capsys, options, message):
    line = refused(capsys, ["compile", model, "-o", "project", *options.split()])
    assert message in line
    assert compiler.calls == []


@pytest.mark.parametrize(
    "text, size_bytes",
    [("1", 1), ("256KB", 262144), ("256kib", 262144), ("1 MB", 1048576), ("1.5K", 1536)],
)
def test_sizes(compiler, model, text, size_bytes):
    assert main(["compile", model, "-o", "project", "--sram", text]) == 0
    assert compiler.calls[0][1].sram_bytes == size_bytes
