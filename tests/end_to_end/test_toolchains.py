"""The C under the default flags of other toolchains, and under those that break floats."""

import shutil
import subprocess

import numpy as np
import pytest
import tiny
from tiny_models import compiled, images

import tvm_ondevice_train as odt
from tvm_ondevice_train.codegen.planned_model import STACK_BYTES
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.device.samples import encode_inputs

MAIN = """
#include <stdio.h>
#include <string.h>

#include "model.h"

static odt_t odt;
static uint8_t arena[ODT_ARENA_BYTES] __attribute__((aligned(ODT_ARENA_ALIGN)));
static odt_input_t sample[ODT_INPUT_ELEMENTS];

int main(void)
{
    const int status = odt_init(&odt, arena, sizeof arena);
    const odt_target_t label = 1;
    printf("%d", status);
    for (int step = 0; status == ODT_OK && step < 5; step++) {
        float loss;
        uint32_t bits;
        for (unsigned i = 0; i < ODT_INPUT_ELEMENTS; i++)
            sample[i] = (odt_input_t)((float)((i * 37u + (unsigned)step) % 101u) / 17.0f - 3.0f);
        odt_train_step(&odt, sample, &label, &loss);
        memcpy(&bits, &loss, sizeof bits);
        printf(" %08x", (unsigned)bits);
    }
    return 0;
}
"""
STRICT = "-Wall -Wextra -Wpedantic -Wundef -Wconversion -Werror".split()
EXACT = ["-std=c99", "-ffp-contract=off"]
FUSING = ["-std=gnu11", "-march=haswell", "-ffp-contract=fast"]  # the default of gcc's gnu modes
BREAKING = [
    "-funsafe-math-optimizations",
    "-fassociative-math -fno-signed-zeros -fno-trapping-math",
    "-freciprocal-math",
    "-ffinite-math-only",
    "-fno-signed-zeros",
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    made = compiled("cnn", "full", learning_rate=0.1)
    project = made.save(tmp_path_factory.mktemp("toolchains") / "project", "host")
    (project / "main.c").write_text(MAIN)
    return project


def told(directory, compiler, *flags) -> str:
    """The status of odt_init() and the bits of the losses, of a program compiled with `flags`."""
    program = directory / "program"
    command = [compiler, *STRICT, *flags, "-I.", "-Iruntime/include", "main.c", "model.c"]
    done = subprocess.run(
        [*command, "-o", program], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[:2000]
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def expected(directory):
    losses = told(directory, "gcc", "-O2", *EXACT)
    assert losses.startswith("0 ") and len(losses.split()) == 6
    return losses


def computes_fused() -> bool:
    with open("/proc/cpuinfo") as file:
        return " fma " in file.read()


@pytest.mark.skipif(not computes_fused(), reason="this computer has no fused multiply-add")
@pytest.mark.parametrize(("compiler", "flags"), [("gcc", FUSING), ("clang", FUSING[:2])])
def test_the_default_flags_of_other_toolchains_lose_no_bit(compiler, flags, directory, expected):
    assert told(directory, compiler, "-O2", *flags) == expected


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        *(("gcc", flags) for flags in BREAKING),
        *(("clang", flags) for flags in BREAKING[:1]),
        pytest.param(
            "clang",
            "-march=haswell -ffp-contract=fast",
            marks=pytest.mark.skipif(not computes_fused(), reason="no fused multiply-add here"),
        ),
    ],
)
def test_arithmetic_that_is_not_exact_is_refused_at_run_time(compiler, flags, directory):
    assert told(directory, compiler, "-O2", *EXACT, *flags.split()) == "-8"


def test_fast_math_is_refused_by_the_compiler(directory):
    with pytest.raises(AssertionError, match="-ffast-math changes results; compile without it"):
        told(directory, "gcc", "-O2", "-ffast-math")


@pytest.mark.slow
@pytest.mark.parametrize("board", ["mps2-an500", "virt-rv32imafc"])
def test_a_fused_multiply_add_of_the_device_loses_no_bit(board, tmp_path):
    x, y = images(3)
    model = odt.compile(compiled("cnn", "full").model, scheme="full", board=board)
    found = []
    for platform, extra in (("host", ""), ("baremetal", "-std=gnu11 -ffp-contract=fast")):
        project = model.save(tmp_path / platform, platform)
        shutil.rmtree(project / "build", ignore_errors=True)  # what `save` built
        build(project, extra)
        with Session(project) as device:
            found.append([device.train(x[i], y[i]) for i in range(3)])
    assert found[0] == found[1]


HEADER = """
#include <stdio.h>
#include <string.h>

#include "model.h"

int main(void)
{
    static float values[ODT_INPUT_ELEMENTS];
    static odt_input_t codes[ODT_INPUT_ELEMENTS];
    const float infinity = 1e38f * 1e38f;
    int status = -1;
    if (fread(values, sizeof values, 1, stdin) == 1) status = odt_quantize_input(values, codes);
    fwrite(codes, sizeof codes, 1, stdout);
    values[3] = infinity;
    printf("%d %d %d %d %.9g %d %s", status, odt_quantize_input(values, codes),
           odt_quantize_input(values, NULL), (int)ODT_STACK_BYTES, (double)ODT_INPUT_SCALE,
           ODT_INPUT_ZERO_POINT, odt_strerror(ODT_ERR_LABEL));
    return 0;
}
"""


def test_the_header_says_how_a_sample_is_quantized_and_the_c_does_it_as_the_host(tmp_path):
    compiled_tiny = odt.compile(tiny.network(True), board="host")
    project = compiled_tiny.save(tmp_path / "project", "host")
    header = (project / "model.h").read_text()
    assert "shape 1x2x6x6 (int8), NCHW: the last index runs fastest" in header
    (project / "main.c").write_text(HEADER)
    flags = [*STRICT, *EXACT, "-O1", "-I.", "-Iruntime/include", "main.c", "model.c", "-o", "p"]
    subprocess.run(["gcc", *flags], cwd=project, check=True)
    x = np.random.default_rng(0).normal(0, 8, (1, 2, 6, 6)).astype(np.float32)
    x.flat[:6] = [0.05, 0.15, -0.05, -0.25, 1e30, -1e30]  # ties, and the ends
    out = subprocess.run([project / "p"], input=x.tobytes(), capture_output=True, check=True).stdout
    codes, text = np.frombuffer(out[: x.size], np.int8), out[x.size :].decode()
    np.testing.assert_array_equal(codes, encode_inputs(x, compiled_tiny.manifest).reshape(-1))
    assert text == f"0 -4 -1 {STACK_BYTES} 0.100000001 0 the label is not one of the classes"


def test_a_float_model_has_no_scale_and_quantizes_nothing():
    header = odt.compile(tiny.network(False), board="host").files["model.h"]
    assert "shape 1x2x6x6 (float32), NCHW" in header
    assert "SCALE" not in header and "quantize" not in header
