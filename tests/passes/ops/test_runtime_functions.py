"""Formulas in TIR beside the C functions that they stand for, compiled: the same bits."""

import ctypes
import inspect
import re
import subprocess

import numpy as np
import pytest
import tvm
from tvm import te

from relay_passes import ops
from relay_passes.formats import FORMATS
from relay_passes.ops.runtime_functions import CALLERS, FORMULAS, portable
from tvm_ondevice_train.project import runtime_dir

DTYPES = {"float": "float32", "int": "int32", **{f"{n}_t": n for n in ("int16", "int32", "int64")}}
DTYPES |= {f"{n}_t": n for n in ("uint8", "uint16", "uint32")}
DECLARATION = re.compile(r"(?:ODT_INLINE|static inline) (\w+) (odt_\w+)\(([^)]*)\)")
COUNT = 1 << 16
FLAGS = ["-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
HEADERS = ("odt_kernels.h", "odt_requantize.h", "odt_block_float.h", "odt_block_result.h")
# where the C has a contract: of arguments, in their order, the lowest and highest
RANGES = {
    "odt_update_code": {2: (0, 2**30 - 1)},
    "odt_shift_round": {0: (-(2**61), 2**61), 1: (1, 62)},
    "odt_requantize": {1: (0, 2**31 - 1), 2: (31, 54)},
    "odt_requantize_wide": {1: (0, 2**31 - 1), 2: (1, 54)},
    "odt_requantize_high": {1: (0, 2**31 - 1), 2: (0, 29), 3: (-255, 257)},
    "odt_divide_even": {0: (-(2**30), 2**30), 1: (1, 2**20)},
    "odt_divide_away": {0: (-(2**30), 2**30), 1: (1, 2**20)},
    "odt_scaled_sum_narrow": {i: (-(2**14), 2**14) for i in range(5)},
    "odt_block_factor": {1: (1.0, 32767.0)},
    "odt_block_code": {0: (-181.0, 181.0), 1: (-181.0, 181.0)},
}


def declarations() -> dict[str, tuple[str, list[str]]]:
    """Of each C function the dtypes of its result and of what it is given by value."""
    found = {}
    for header in HEADERS:
        text = (runtime_dir() / "include" / header).read_text(encoding="utf-8")
        for result, name, parameters in DECLARATION.findall(text):
            words = [p.split() for p in parameters.split(",") if "*" not in p]
            if name in FORMULAS:
                found[name] = DTYPES[result], [DTYPES[word[0]] for word in words]
    return found


DECLARED = declarations()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """``each_NAME(count, result, operands ...)`` for each function, over arrays."""
    directory = tmp_path_factory.mktemp("functions")
    lines = [f'#include "{header}"' for header in HEADERS]
    for name, (result, dtypes) in DECLARED.items():
        types = {d: t for t, d in DTYPES.items()}
        given = ", ".join(f"const {types[d]} *a{i}" for i, d in enumerate(dtypes))
        read = [f"a{i}[i]" for i in range(len(dtypes))]
        read += ["&bad"] if name == "odt_update_code" else []
        lines.append(
            f"void each_{name}(int32_t n, {types[result]} *r, {given}) {{ uint32_t bad = 0;"
        )
        lines.append(
            f"for (int32_t i = 0; i < n; ++i) r[i] = {name}({', '.join(read)}); (void)bad; }}"
        )
    source = directory / "functions.c"
    source.write_text("\n".join(lines))
    command = ["gcc", *FLAGS, f"-I{runtime_dir() / 'include'}", str(source)]
    subprocess.run([*command, "-o", str(directory / "functions.so")], check=True)
    return ctypes.CDLL(str(directory / "functions.so"))


def values(dtype: str, low=None, high=None, *, seed: int) -> np.ndarray:
    """Numbers of every magnitude, ends and ties among them, within the range."""
    generator = np.random.default_rng(seed)
    numbers = floats(generator) if dtype == "float32" else integers(generator, dtype)
    if low is not None:
        numbers = np.clip(np.nan_to_num(numbers, nan=low), low, high).astype(dtype)
        numbers[: COUNT // 64] = generator.choice(np.array([low, high], dtype), COUNT // 64)
    return generator.permutation(numbers)


def floats(generator: np.random.Generator) -> np.ndarray:
    numbers = generator.integers(0, 1 << 32, COUNT, np.uint32).view(np.float32)
    small = generator.normal(0, 30, COUNT // 4).astype(np.float32)
    ties = generator.integers(-600, 600, COUNT // 8).astype(np.float32) / 2
    ends = np.array([0, 1, 2**30, 14, 1e-30, 2**-27, 2**-149, np.inf, np.nan], np.float32)
    often = np.concatenate([small, ties, ends, -ends, np.nextafter(ends, np.float32(0))])
    numbers[: len(often)] = often
    return numbers


def integers(generator: np.random.Generator, dtype: str) -> np.ndarray:
    ends = np.iinfo(dtype)
    numbers = generator.integers(ends.min, ends.max, COUNT, dtype, endpoint=True)
    numbers >>= generator.integers(0, ends.bits, COUNT).astype(dtype)
    often = [n for n in (-129, -128, -1, 0, 1, 127, 128) if n >= ends.min]
    often = np.array([ends.min, ends.max, *often], dtype)
    numbers[: COUNT // 16] = generator.choice(often, COUNT // 16)
    return numbers


def by_tvm(name: str, operands: list[np.ndarray]) -> np.ndarray:
    """What the formula gives, compiled by TVM."""
    tensors = [te.placeholder((COUNT,), str(a.dtype), f"a{i}") for i, a in enumerate(operands)]
    result = te.compute((COUNT,), lambda i: CALLERS[name](*(t[i] for t in tensors)), name="r")
    kernel = portable(te.create_prim_func([*tensors, result]).with_attr("global_symbol", "each"))
    out = tvm.runtime.tensor(np.empty(COUNT, str(result.dtype)))
    tvm.compile(kernel, target="llvm")["each"](*map(tvm.runtime.tensor, operands), out)
    return out.numpy()


def bits_of(array: np.ndarray) -> np.ndarray:
    """Its bits; every NaN has the same."""
    if array.dtype != np.float32:
        return array.astype(np.int64)
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_gives_the_bits_of_the_c_function(library, name):
    result, dtypes = DECLARED[name]
    ranges = RANGES.get(name, {})
    operands = [values(d, *ranges.get(i, ()), seed=i) for i, d in enumerate(dtypes)]
    if name == "odt_peak":
        operands[0] = np.abs(operands[0])
    if name == "odt_shift_round":  # all with which the sum before the shift stays within int64
        operands[0] >>= np.where(operands[1] > 61, 1, 0)
    expected = np.empty(COUNT, result)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (expected, *operands)]
    getattr(library, f"each_{name}")(COUNT, *pointers)
    assert np.array_equal(bits_of(by_tvm(name, operands)), bits_of(expected))
    assert len(np.unique(expected)) > 1


def test_every_function_that_operators_call_has_its_caller_here():
    """Nothing else calls C: an operator whose function has no formula would compile in C alone."""
    modules = [module for _, module in inspect.getmembers(ops, inspect.ismodule)]
    others = [m for m in modules if m.__name__.rsplit(".")[-1] != "runtime_functions"]
    assert others and FORMULAS.keys() == CALLERS.keys() == DECLARED.keys()
    for module in others:
        assert not re.search(r"_extern|call_of_runtime|call_intrin", inspect.getsource(module))


def test_every_format_of_adjoints_has_its_formulas():
    assert {f"odt_{name}_of" for name in FORMATS} <= FORMULAS.keys()
    assert {f"odt_float_of_{name}" for name in FORMATS} <= FORMULAS.keys()
