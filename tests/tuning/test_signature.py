"""What a kernel's signature depends on, and what it does not."""

import os
import subprocess
import sys

import pytest
from small_kernels import tasks, usual_tasks
from tvm import te

from tvm_ondevice_train.tuning.signature import signature


def function(size=8, factor=2.0, source="x", result="y", block="y", shift=0):
    x = te.placeholder((size,), name=source)
    scale = te.compute((size,), lambda i: x[(i + shift) % size] * factor, name=block)
    y = te.compute((size,), lambda i: te.if_then_else(i < size - shift, scale[i], 0.0), name=result)
    return te.create_prim_func([x, y])


def test_it_depends_on_sizes_indices_and_blocks():
    kernels = [
        function(),
        function(size=16),
        function(shift=1),
        function(block="acc"),
        function(result="z"),
    ]
    assert len({signature(kernel) for kernel in kernels}) == len(kernels)


def test_it_does_not_depend_on_variables_and_factors():
    assert signature(function()) == signature(function(source="image", factor=0.125))


def test_scales_and_names_of_a_model_do_not_matter():
    first, other = usual_tasks(), tasks(weight_scale=0.02, names=("c1", "fc"), name="other")
    assert [task.signature for task in first] == [task.signature for task in other]
    assert first[0].name != other[0].name


def test_float_and_int8_layers_share_no_kernel():
    quantized = {task.signature for task in usual_tasks()}
    floats = {task.signature for task in tasks(quantized=False) if task.name.startswith("conv:")}
    assert quantized.isdisjoint(floats)


@pytest.mark.slow
def test_it_is_the_same_in_every_process():
    code = "from test_signature import function, signature; print(signature(function()))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == signature(function())
