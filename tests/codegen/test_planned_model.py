"""Slots of trained parameters, and constants that two steps share."""

import numpy as np

from relay_passes.memory.step import Kernel, Step, Task, Tensor
from tvm_ondevice_train.codegen.planned_model import merge_constants, parameter_slots


def temporary(name, elements=4, role="temporary"):
    return Tensor(name, (elements,), "float32", role)


def op(inputs, outputs, workspace_bytes=0, in_place=()):
    kernel = Kernel(tuple(range(len(inputs))), in_place, workspace_bytes)
    return Task("0:op", "op", kernel, tuple(inputs), tuple(outputs))


def test_trained_parameters_lie_without_padding_widest_first():
    values = {
        "a.weight": np.zeros((3, 1), np.int8),
        "a.bias": np.zeros(3, np.int32),
        "b.weight": np.zeros(5, np.int8),
        "head": np.zeros((2, 2), np.float32),
    }
    slots = parameter_slots({"parameter": values})
    assert [(s.name, s.offset) for s in slots] == [
        ("a.bias", 0),
        ("head", 12),
        ("a.weight", 28),
        ("b.weight", 31),
    ]
    assert [s.field for s in slots] == ["a_bias", "head", "a_weight", "b_weight"]


def constants_program(**values):
    tensors = [Tensor(n, v.shape, str(v.dtype), "constant") for n, v in values.items()]
    return Step((op(tensors, [temporary("t")]),), values, ())


def test_equal_constants_of_two_programs_are_one():
    one = constants_program(a=np.arange(4, dtype=np.int32), b=np.ones(2, np.float32))
    two = constants_program(a=np.ones(2, np.float32), b=np.ones(2, np.int32))
    (first, second), merged = merge_constants(one, two)
    names = [[t.name for t in program.tasks[0].inputs] for program in (first, second)]
    assert names == [["constant_0", "constant_1"], ["constant_1", "constant_2"]]
    assert [v.tolist() for v in merged.values()] == [[0, 1, 2, 3], [1, 1], [1, 1]]
    assert set(first.constants) == set(names[0]) and set(second.constants) == set(names[1])
