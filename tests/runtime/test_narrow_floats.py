"""Floats of 16 and 8 bits in odt_kernels.h: beside torch.bfloat16, and beside a definition."""

import ctypes
import subprocess

import numpy as np
import pytest
import torch
from probe_library import SPECIALS, pointer

from tvm_ondevice_train.project import runtime_dir

SOURCE = """
#include "odt_kernels.h"
#define BOTH_WAYS(format, type) \\
    void encode_##format(int32_t n, const float *x, type *bits) \\
    { for (int32_t i = 0; i < n; i++) bits[i] = odt_##format##_of(x[i]); } \\
    void decode_##format(int32_t n, const type *bits, float *x) \\
    { for (int32_t i = 0; i < n; i++) x[i] = odt_float_of_##format(bits[i]); }
BOTH_WAYS(bfloat16, uint16_t)
BOTH_WAYS(float8, uint8_t)
"""
FLAGS = "-std=c99 -O2 -Wall -Wextra -Wundef -Wconversion -Werror -fsanitize=undefined".split()
FLAGS += ["-fno-sanitize-recover=all", "-shared", "-fPIC"]
CODES = {"bfloat16": np.arange(1 << 16, dtype=np.uint16), "float8": np.arange(256, dtype=np.uint8)}
LEAST, LARGEST = 2.0**-27, 14.0  # of float8, except 0


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    directory = tmp_path_factory.mktemp("narrow")
    source, target = directory / "narrow.c", directory / "narrow.so"
    source.write_text(SOURCE)
    include = f"-I{runtime_dir() / 'include'}"
    subprocess.run(["gcc", *FLAGS, include, str(source), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def encode(library, format: str, x) -> np.ndarray:
    x = np.ascontiguousarray(x, np.float32)
    bits = np.empty(len(x), CODES[format].dtype)
    getattr(library, f"encode_{format}")(len(x), pointer(x), pointer(bits))
    return bits


def decode(library, format: str, bits: np.ndarray) -> np.ndarray:
    x = np.empty(len(bits), np.float32)
    getattr(library, f"decode_{format}")(len(bits), pointer(bits), pointer(x))
    return x


def same(ours: np.ndarray, expected: np.ndarray) -> bool:
    """Equal bits: 0 is not -0."""
    return np.array_equal(ours.view(np.uint32), expected.astype(np.float32).view(np.uint32))


def around(x) -> np.ndarray:
    """Each of x, the float32 before and after it, and all of those negative."""
    x = np.asarray(x, np.float32)
    infinity = np.float32(np.inf)
    with np.errstate(over="ignore"):
        near = np.concatenate([x, np.nextafter(x, infinity), np.nextafter(x, -infinity)])
    return np.concatenate([near, -near])


def numbers() -> np.ndarray:
    """Random float32 of every exponent, subnormal ones, the ends of ranges, infinities; no NaN."""
    bits = np.random.default_rng(0).integers(0, 1 << 32, 300_000, np.uint32)
    subnormal = bits[:50_000] & np.uint32(0x807FFFFF)
    every = np.concatenate([bits.view(np.float32), subnormal.view(np.float32), around(SPECIALS)])
    return every[~np.isnan(every)]


def test_every_bfloat16_is_read_as_torch_reads_it_and_stored_again(library):
    codes = CODES["bfloat16"]
    ours = decode(library, "bfloat16", codes)
    assert same(ours, torch.from_numpy(codes.copy()).view(torch.bfloat16).float().numpy())
    assert np.array_equal(encode(library, "bfloat16", ours), codes)


def test_floats_round_to_bfloat16_as_in_torch(library):
    finite = decode(library, "bfloat16", CODES["bfloat16"][:0x7F80])
    ties = (finite.view(np.uint32) | np.uint32(0x8000)).view(np.float32)
    x = np.concatenate([numbers(), around(finite), around(ties)])
    expected = torch.from_numpy(x).to(torch.bfloat16).view(torch.uint16).numpy()
    assert np.array_equal(encode(library, "bfloat16", x), expected)


def float8_values() -> np.ndarray:
    """By code: a sign, 5 bits of exponent, biased by 28, 2 bits of fraction; 0 is 0, 1 NaN."""
    codes = CODES["float8"].astype(np.int64)
    sign, exponent, fraction = codes >> 7, codes >> 2 & 31, codes & 3
    magnitude = np.where(codes & 127, (1 + fraction / 4) * 2.0 ** (exponent - 28), 0)
    magnitude[(codes & 127) == 1] = np.nan
    return np.where(sign, -magnitude, magnitude)


def nearest_float8(x) -> np.ndarray:
    """Three significant bits, ties to even; then what is too small is 0, what is too large 14.

    What is not finite is NaN."""
    mantissa, exponent = np.frexp(np.abs(np.asarray(x, np.float64)))
    rounded = np.ldexp(np.rint(mantissa * 8), exponent - 3)
    magnitude = np.where(rounded < LEAST, 0, np.fmin(rounded, LARGEST))
    magnitude = np.where(np.isfinite(x), magnitude, np.nan)
    return np.copysign(magnitude, x)


def test_every_float8_is_what_its_definition_says_and_stored_again(library):
    codes, values = CODES["float8"], float8_values()
    assert same(decode(library, "float8", codes), values)
    kept = (values == 0) | (np.abs(values) >= LEAST)
    assert kept.sum() == 2 * (31 * 4 + 1)
    assert np.array_equal(encode(library, "float8", values[kept]), codes[kept])


def test_floats_round_to_float8_as_defined(library):
    values = np.sort(np.delete(float8_values()[:128], 1))
    ties = (values[1:] + values[:-1]) / 2
    in_range = 2.0 ** np.random.default_rng(1).uniform(-30, 5, 200_000)
    x = np.concatenate([numbers(), around(values), around(ties), in_range, -in_range])
    assert same(decode(library, "float8", encode(library, "float8", x)), nearest_float8(x))


@pytest.mark.parametrize(
    "x, expected",
    [
        (LEAST, LEAST),
        (0.9 * LEAST, 0),
        (LARGEST, LARGEST),
        (14.9, LARGEST),
        (3e38, LARGEST),
        (1e-45, 0),
        (1.125, 1.0),  # ties: to an even fraction
        (1.375, 1.5),
        (1.875, 2.0),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_float8_at_its_limits(library, x, expected, sign):
    found = decode(library, "float8", encode(library, "float8", [np.copysign(x, sign)]))
    assert same(found, np.copysign([expected], sign))


@pytest.mark.parametrize("format", ["bfloat16", "float8"])
def test_what_is_not_finite_stays_so(library, format):
    """Those that arithmetic makes; a training step must notice that it went wrong."""
    made = np.array([0x7FC00000, 0xFFC00000, 0x7F800000, 0xFF800000], np.uint32).view(np.float32)
    assert not np.isfinite(decode(library, format, encode(library, format, made))).any()
