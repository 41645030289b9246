"""Live ranges, parameter slots, constants, and the names that they get in C."""

from relay_passes.memory.step import Kernel, Step, Task, Tensor
from tvm_ondevice_train.codegen.planned_step import live_ranges, plan_step
from tvm_ondevice_train.codegen.shared_bytes import own_places, reuse_in_place
from tvm_ondevice_train.memory_plan import Buffer, check_plan


def temporary(name, elements=4, role="temporary"):
    return Tensor(name, (elements,), "float32", role)


def op(inputs, outputs, workspace_bytes=0, in_place=()):
    kernel = Kernel(tuple(range(len(inputs))), in_place, workspace_bytes)
    return Task("0:op", "op", kernel, tuple(inputs), tuple(outputs))


def test_buffers_live_from_the_first_op_to_the_last_that_needs_them():
    """The input from the start, a result to the end, a workspace during its op alone."""
    x, w = temporary("x", 100, "input"), temporary("w", 8, "parameter")
    a, b, c, result = (temporary(name) for name in "abcr")
    program = Step(
        (op([w], [b]), op([x, b], [a]), op([a], [result], 33), op([a, b], [c]), op([c], [])),
        {},
        (result,),
    )
    buffers = live_ranges(program, own_places(program))
    assert {buffer.name: (buffer.first, buffer.last) for buffer in buffers} == {
        "x": (0, 1),
        "b": (0, 3),
        "a": (1, 3),
        "r": (2, 4),
        "c": (3, 4),
        "workspace of op 2": (2, 2),
    }
    planned = plan_step(program)
    check_plan(planned.buffers, planned.plan)
    assert planned.offset(w) is None and planned.offset(x) == planned.plan.offsets["x"]
    assert planned.workspace_offset(2) == planned.plan.offsets["workspace of op 2"]


def test_a_result_that_a_later_op_reads_too_lives_to_the_end():
    a, b = temporary("a"), temporary("b")
    program = Step((op([], [a]), op([a], [b]), op([b], [])), {}, (a,))
    assert program.live == {a: (0, 2), b: (1, 2)}


def test_tensors_of_one_buffer_need_other_bytes_of_it_at_other_ops():
    """A smaller result at its operand's start, then a larger one that ends where that ends."""
    a, b, c = temporary("a", 8), temporary("b", 4), temporary("c", 12)
    reuse = {"in_place": ((0, 0),)}
    steps = (op([], [a]), op([a], [b], **reuse), op([], []), op([b], [c], **reuse), op([c], []))
    program = Step(steps, {}, ())
    spans = ((0, 32, 64), (2, 32, 48), (3, 0, 48))
    assert live_ranges(program, reuse_in_place(program)) == (Buffer("a", 64, 0, 4, 16, spans),)
    assert program.live == {a: (0, 1), b: (1, 3), c: (3, 4)}
    planned = plan_step(program)
    assert [planned.offset(t) for t in (a, b, c)] == [32, 32, 0]


def test_the_arena_is_smaller_where_results_take_the_place_of_operands():
    a, b = temporary("a", 8), temporary("b", 8)
    program = Step((op([], [a]), op([a], [b], in_place=((0, 0),))), {}, (b,))
    assert [plan_step(program, reuse).plan.total_bytes for reuse in (True, False)] == [32, 64]


def test_the_sample_lies_where_the_first_op_reads_it():
    x, larger = temporary("x", 4, "input"), temporary("larger", 12)
    program = Step((op([x], [larger], in_place=((0, 0),)),), {}, (larger,))
    planned = plan_step(program)
    assert (planned.input_offset, planned.offset(larger)) == (32, 0)
    assert plan_step(Step((op([], [larger]),), {}, (larger,))).input_offset == 0
