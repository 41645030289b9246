"""What the passes make is TVM's again: `tvm.compile` takes it, or one line says why not."""

from functools import cache

import compiled_by_tvm
import numpy as np
import pytest
import tiny_models
import torch
import tvm
from instruments.interpreter import Interpreter
from torch.nn import functional
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program

from relay_passes import ReorderForMemory, lowering
from relay_passes.memory.read_step import read_step
from relay_passes.pipeline import STEP_ROLES, differentiation
from tvm_ondevice_train.training_graph import loss_module

RATE, SEED = np.float32(0.05), np.uint32(2**32 - 3)  # a seed that overflows where salt is added


@cache
def int8_step(backward: str) -> tvm.IRModule:
    """A training step of all parameters of an int8 model."""
    model = tiny_models.model("cnn_int8")
    passes = differentiation(list(model.parameters), backward)
    return tvm.transform.Sequential(passes)(loss_module(model, "cross_entropy"))


def arguments_of(step: tvm.IRModule) -> dict[str, np.ndarray]:
    """By name: a sample, its label, hyper-parameters, the model's parameters."""
    model = tiny_models.model("cnn_int8")
    roles = [p.name for p in step["main"].params[: len(STEP_ROLES)]]
    x, labels = tiny_models.images(1)
    scale, zero_point = model.input.scale, model.input.zero_point
    if model.input.dtype != "float32":
        x = np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(model.input.dtype)
    leading = x, labels.astype(np.int32), RATE, SEED
    return {**dict(zip(roles, leading, strict=True)), **model.parameters}


@cache
def by_c(backward: str) -> list[np.ndarray]:
    """Results of the step by its C kernels."""
    program = read_step(lowering()(int8_step(backward)), STEP_ROLES)
    values = arguments_of(int8_step(backward))
    leaves = dict(zip(STEP_ROLES, list(values.values())[: len(STEP_ROLES)], strict=True))
    model = tiny_models.model("cnn_int8")
    tensors = Interpreter(program, model.parameters).run(**leaves)
    return [tensors[tensor.name] for tensor in program.results]


def assert_codes_are_those_of_c(results: list[np.ndarray], backward: str) -> None:
    expected = by_c(backward)
    codes = [r.dtype.kind == "i" for r in results]
    assert any(codes) and not all(codes)
    for ours, by_c_kernels, is_codes in zip(results, expected, codes, strict=True):
        if is_codes:
            np.testing.assert_array_equal(ours, by_c_kernels.reshape(ours.shape))
        else:
            np.testing.assert_allclose(ours, by_c_kernels.reshape(ours.shape), atol=1e-6)


LOWERINGS = {
    "by TVM alone": [],
    "lowered": [lowering(microkernels=False)],
    "kernel by kernel": [lowering(fuse=False, microkernels=False)],
    "reordered": [lowering(microkernels=False), ReorderForMemory(STEP_ROLES)],
}


@pytest.mark.parametrize("passes", LOWERINGS.values(), ids=LOWERINGS)
@pytest.mark.parametrize("backward", ["float32", "int16", "bfloat16", "float8"])
def test_an_int8_step_gives_the_codes_that_c_gives(backward, passes):
    step = int8_step(backward)
    module = tvm.transform.Sequential(passes)(step) if passes else step
    assert_codes_are_those_of_c(compiled_by_tvm.run(module, arguments_of(step)), backward)
