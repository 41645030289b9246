"""odt_math.h against float64, and the same bits from every compiler and board."""

import math
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from probe_library import BLOCK, FILES, FUNCTIONS, MANIFEST, SPECIALS, Probe

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.project import generate_project, runtime_dir

SMALLEST = float(np.finfo(np.float32).tiny)
STRICT = (
    "-std=c99 -Wall -Wextra -Wpedantic -Wundef -Wconversion -Wmissing-prototypes -Werror".split()
)
M7 = "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-d16 -mfloat-abi=hard".split()


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return Probe(tmp_path_factory.mktemp("probe"))


def floats(low, high, count=200_000):
    """Every so many floats from `low` to `high`, both > 0."""
    first, last = (int(np.float32(v).view(np.uint32)) for v in (low, high))
    return np.linspace(first, last, count).astype(np.uint32).view(np.float32)


def ulps(result, exact):
    """The distance of float32 `result` from float64 `exact` in ulp of the exact value."""
    return np.abs(result - exact) / np.spacing(np.abs(exact).astype(np.float32))


erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


RANGES = {
    "exp": (np.exp, 1, [-floats(1e-9, 87.3365), floats(1e-9, 88.7228), np.linspace(-3, 3, 99999)]),
    "log": (np.log, 1, [floats(1e-45, 3.4e38), floats(0.5, 2), floats(0.999, 1.001)]),
    "tanh": (np.tanh, 2, [floats(1e-9, 20), -floats(0.2, 10)]),
    "erf": (erf, 1.5, [floats(1.2e-38, 4), -floats(0.5, 4), np.linspace(0.9, 0.95, 99999)]),
    "sigmoid": (sigmoid, 2.5, [-floats(1e-9, 87.3365), floats(1e-9, 90)]),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_error_is_within_what_the_header_says(probe, name):
    function, bound, parts = RANGES[name]
    x = np.concatenate(parts).astype(np.float32)
    exact = function(x.astype(np.float64))
    normal = np.abs(exact) >= SMALLEST
    error = ulps(probe(name, x), exact)[normal]
    assert normal.mean() > 0.99
    assert error.max() <= bound


def test_tanh_of_a_tiny_number_is_that_number(probe):
    x = np.concatenate([floats(1e-45, 1e-4, 5000), -floats(1e-45, 1e-4, 5000), [0.0, -0.0]])
    x = x.astype(np.float32)
    assert np.array_equal(probe("tanh", x).view(np.uint32), x.view(np.uint32))


def test_sqrt_is_correctly_rounded(probe):
    random = np.random.default_rng(0).integers(1, 0x7F800000, 300_000, np.uint32)
    squares = np.arange(1, 4097, dtype=np.float32) ** 2
    near = [np.nextafter(squares, np.float32(to)) for to in (0, np.inf)]
    x = np.concatenate([random.view(np.float32), squares, *near, floats(1e-45, 2e-38, 5000)])
    assert np.array_equal(probe("sqrt", x), np.sqrt(x))


@pytest.mark.parametrize("name", ["floor", "nearbyint", "fabs"])
def test_rounding_equals_numpy_to_the_sign_of_zero(probe, name):
    quarters = np.arange(-40_000, 40_000, dtype=np.float32) / 4
    large = floats(1e6, 1e9, 20_000)
    x = np.concatenate([quarters, large, -large, floats(1e-45, 2, 9999), -floats(1e-45, 2, 9999)])
    x = np.concatenate([x, SPECIALS, -SPECIALS])
    expected = {"floor": np.floor, "nearbyint": np.rint, "fabs": np.abs}[name](x)
    assert np.array_equal(probe(name, x), expected, equal_nan=True)
    assert np.array_equal(np.signbit(probe(name, x)), np.signbit(expected))


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        (
            "exp",
            [0.0, -0.0, np.inf, -np.inf, 88.72284, 1e30, -87.33655, -1e30],
            "1 1 inf 0 inf inf 0 0",
        ),
        ("log", [1.0, 0.0, -0.0, np.inf, -np.inf, -1e-45, -1.0], "0 -inf -inf inf nan nan nan"),
        ("tanh", [0.0, np.inf, -np.inf, 9.02, -100.0, 3e38], "0 1 -1 1 -1 1"),
        ("sigmoid", [0.0, np.inf, -np.inf, 100.0, -87.34, -3e38], ".5 1 0 1 0 0"),
        ("erf", [0.0, -0.0, np.inf, -np.inf, 3.92, -9.0, 1e-38], "0 -0 1 -1 1 -1 0"),
        ("sqrt", [0.0, 4.0, np.inf, -np.inf, -1e-45, -4.0], "0 2 inf nan nan nan"),
    ],
)
def test_special_arguments(probe, name, x, expected):
    wanted = np.array(expected.split(), np.float32)
    assert np.array_equal(probe(name, np.array(x, np.float32)), wanted, equal_nan=True)
    nan = probe(name, np.array([0x7FC00000, 0xFFC12345], np.uint32).view(np.float32))
    assert [hex(b) for b in nan.view(np.uint32)] == ["0x7fc00000"] * 2


def test_exp_is_finite_and_normal_up_to_its_ends(probe):
    top, bottom = np.float32(88.72283), np.float32(-87.33654)
    beyond = [np.nextafter(top, np.float32(99)), np.nextafter(bottom, np.float32(-99))]
    last, first, above, below = probe("exp", np.array([top, bottom, *beyond], np.float32))
    assert np.isfinite(last) and last > 3.4e38 and above == np.inf
    assert SMALLEST <= first < 1.0001 * SMALLEST and below == 0


@pytest.fixture(scope="module")
def patterns():
    """Floats of every kind in whole blocks: random bits, moderate numbers, ties, specials."""
    generator = np.random.default_rng(1)
    bits = generator.integers(0, 2**32, 8 * BLOCK - 400, np.uint32).view(np.float32)
    moderate = generator.normal(0, 10, 8 * BLOCK - 2 * len(SPECIALS)).astype(np.float32)
    ties = np.arange(-200, 200, dtype=np.float32) / 2
    return np.concatenate([bits, moderate, ties, SPECIALS, -SPECIALS])


@pytest.mark.parametrize(
    ("compiler", "level", "extra"),
    [
        ("gcc", "0", []),
        ("gcc", "1", []),
        ("gcc", "3", ["-march=x86-64-v3"]),
        ("clang", "0", []),
        ("clang", "3", ["-march=x86-64-v3"]),
    ],
)
def test_every_compiler_computes_the_same_bits(probe, patterns, compiler, level, extra, tmp_path):
    other = Probe(tmp_path, compiler, level, extra)
    assert_same(other.all(patterns), probe.all(patterns))


SOFT = ("-mcpu=cortex-m3", "-mthumb")  # without an FPU: every operation is libgcc's


@pytest.mark.parametrize(
    ("board", "cflags", "extra"),
    [
        ("mps2-an500", None, ""),
        ("mps2-an500", None, "-O0"),
        ("mps2-an500", SOFT, ""),
        ("mps2-an386", None, ""),
        ("mps3-an547", None, ""),
    ],
)
def test_every_board_computes_the_same_bits(probe, patterns, board, cflags, extra, tmp_path):
    row = find_board(board)
    row = replace(row, core=replace(row.core, cflags=cflags or row.core.cflags))
    directory = generate_project(FILES, MANIFEST, row, "baremetal", tmp_path / "project")
    build(directory, f"-Werror {extra}")
    with Session(directory) as device:
        found = [device.predict_encoded(block) for block in patterns.reshape(-1, BLOCK)]
    assert_same(np.concatenate(found, axis=1), probe.all(patterns))


def assert_same(found, expected):
    different = {
        name: int((a.view(np.uint32) != b.view(np.uint32)).sum())
        for name, a, b in zip(FUNCTIONS, found, expected, strict=True)
    }
    assert different == dict.fromkeys(FUNCTIONS, 0)


@pytest.mark.parametrize("level", ["-O0", "-O3"])
@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("gcc", STRICT),
        ("clang", STRICT),
        ("clang", ["-xc++", "-Wall", "-Wextra", "-Werror"]),
        ("arm-none-eabi-gcc", [*STRICT, *M7]),
        ("arm-none-eabi-gcc", [*STRICT, "-mcpu=cortex-m0", "-mthumb"]),
    ],
)
def test_every_compiler_accepts_the_headers_without_a_warning(compiler, flags, level):
    assert shutil.which(compiler), f"{compiler} is not installed"
    include = f"-I{runtime_dir() / 'include'}"
    command = [compiler, *(flags if "-xc++" in flags else ["-xc", *flags]), level, include]
    source = '#include "odt_kernels.h"\nextern int some_declaration;\n'
    done = subprocess.run(
        [*command, "-S", "-o", "/dev/null", "-"], input=source, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
