"""Which samples a device keeps, as a value: it takes what the C takes; what is refused."""

import re
import subprocess
from pathlib import Path

import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.options import Options
from tvm_ondevice_train.project import runtime_dir
from tvm_ondevice_train.replay import FEATURES, FLASH, POLICIES, RAM, SAMPLE, Replay

OUTPUTS, UNIT, BLOCK = 5, 4, 512
CASES = [
    (Replay(slots, policy, memory, of), inputs, targets)
    for slots, inputs, targets in ((1, 37, 1), (20, 37, 1), (7, 600, 3), (33, 64, 2))
    for memory, policy, of in (
        (RAM, "ring", SAMPLE),
        (FLASH, "reservoir", SAMPLE),
        (FLASH, "balanced", FEATURES),
        (RAM, "balanced", FEATURES),
    )
]


def sizes_in_c(replay, inputs, targets, directory):
    """sizeof(odt_replay_t), and bytes of flash and one more, by the compiler of a Cortex-M0."""
    macros = {
        "ODT_REPLAY_SLOTS": f"{replay.slots}u",
        "ODT_REPLAY_POLICY": POLICIES.index(replay.policy),
        "ODT_REPLAY_IN_FLASH": int(replay.memory == FLASH),
        "ODT_FEATURE_BYTES": f"{inputs}u",
        "ODT_MODEL_HASH": "0u",
        "ODT_INPUT_ELEMENTS": f"{inputs}u",
        "ODT_OUTPUT_ELEMENTS": f"{OUTPUTS}u",
        "ODT_TARGET_ELEMENTS": f"{targets}u",
        "ODT_TARGET_IS_LABEL": 1,
    } | ({"ODT_REPLAY_OF_FEATURES": 1} if replay.of == FEATURES else {})
    lines = ["#pragma once", *(f"#define {name} {value}" for name, value in macros.items())]
    lines += ["#include <stdint.h>", "typedef int8_t odt_input_t;", "typedef int32_t odt_target_t;"]
    lines += ["typedef struct odt { int x; } odt_t;"]
    (directory / "model.h").write_text("\n".join(lines) + "\n")
    (directory / "sizes.c").write_text(
        '#include "odt_replay.h"\n'
        "char ram[sizeof(odt_replay_t)];\n"
        f"char flash[1 + ODT_REPLAY_BLOCKS({UNIT}u, {BLOCK}u) * {BLOCK}u];\n"
    )
    include = [f"-I{directory}", f"-I{runtime_dir() / 'include'}"]
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-fno-common", *include, "-c", "sizes.c"]
    subprocess.run(command, cwd=directory, check=True)
    command = ["arm-none-eabi-nm", "-S", "sizes.o"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    sizes = {line.split()[-1]: int(line.split()[1], 16) for line in done.stdout.splitlines()}
    return sizes["ram"], sizes["flash"]


@pytest.mark.parametrize(("replay", "inputs", "targets"), CASES)
def test_the_account_is_what_the_compiler_says(replay, inputs, targets, tmp_path):
    ram, flash = sizes_in_c(replay, inputs, targets, tmp_path)
    assert replay.ram_bytes(inputs, 4 * targets, OUTPUTS) == ram + 4  # and the pointer to it
    assert replay.flash_bytes(inputs, 4 * targets, UNIT, BLOCK) == flash - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replay": 0}, r"replay is 0; it must be a number of samples from 1 to 65,534"),
        ({"replay": 65_535}, r"replay is 65535; it must be .*"),
        ({"replay": "many"}, r'replay is "many"; it must be .*'),
        ({"replay": 4, "replay_in": "rom"}, r'replay_in is "rom"; allowed are ram, flash'),
        ({"replay": 4, "replay_policy": "old"}, r'replay_policy is "old"; allowed are ring, .*'),
        ({"replay": 4, "replay_of": "all"}, r'replay_of is "all"; allowed are sample, features'),
        *(
            ({name: value}, "replay_in, replay_policy and replay_of say how .*; give replay, too")
            for name, value in (
                ("replay_in", "flash"),
                ("replay_policy", "ring"),
                ("replay_of", "features"),
            )
        ),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(OdtError) as error:
        Options.of(**options)
    assert re.fullmatch(message, str(error.value))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"replay": 2},
            "replay is 2; balanced needs a slot for each of the 3 classes: give more, or use "
            "reservoir",
        ),
        (
            {"replay": 8, "loss": "mse", "replay_policy": "balanced"},
            "replay_policy is balanced, but this model learns values and has no classes; use "
            "reservoir",
        ),
    ],
)
def test_what_does_not_go_with_the_model_is_refused(options, message):
    with pytest.raises(OdtError) as error:
        odt.compile(tiny.network(), board="host", **options)
    assert str(error.value) == message


@pytest.mark.parametrize(("loss", "policy"), [("cross_entropy", "balanced"), ("mse", "reservoir")])
def test_labels_are_balanced_and_values_are_a_reservoir(loss, policy):
    assert Options.of(replay=9, loss=loss).kept == Replay(9, policy, "ram")
    assert Options.of(loss=loss).kept is None


def test_what_does_not_fit_says_what_samples_take():
    model = tiny.network(quantized=True)
    need = odt.compile(model, board="mps2-an500").report["peak_sram_bytes"]
    with pytest.raises(OdtError, match=r"are kept 3,936\).* keep fewer samples \(--replay\)"):
        odt.compile(model, board="mps2-an500", sram_bytes=need + 2000, replay=50)
    with pytest.raises(OdtError, match=r"samples that are kept \(86,016\)"):
        odt.compile(model, board="mps2-an500", flash_bytes=70_000, replay=800, replay_in="flash")


def test_a_model_that_keeps_nothing_has_nothing_of_it():
    text = "".join(odt.compile(tiny.network(), board="host").files.values())
    assert "REPLAY" not in text


def test_the_files_of_the_ring_are_with_every_project():
    names = {path.name for path in Path(runtime_dir(), "src").iterdir()}
    assert {"odt_replay.c", "odt_ring_ram.c", "odt_ring_flash.c"} <= names
