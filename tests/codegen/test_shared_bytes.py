"""Which results lie in the bytes of an operand that nobody reads again, and where there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_passes.memory.step import Kernel, Step, Task, Tensor
from tvm_ondevice_train.codegen.planned_step import PlannedStep, live_ranges
from tvm_ondevice_train.codegen.shared_bytes import Place, own_places, reuse_in_place
from tvm_ondevice_train.memory_plan import check_plan, plan


def tensor(name, size_bytes=16, role="temporary"):
    return Tensor(name, (size_bytes // 4,), "float32", role)


def op(inputs, outputs, in_place=((0, 0),), workspace_bytes=0):
    pairs = tuple(in_place) if inputs else ()
    kernel = Kernel(tuple(range(len(inputs))), pairs, workspace_bytes)
    return Task("layer:op", "op", kernel, tuple(inputs), tuple(outputs))


def reader(*inputs):
    return op(inputs, [], ())


def places(*ops, results=()):
    found = reuse_in_place(Step(ops, {}, tuple(results)))
    return {name: (place.buffer, place.offset) for name, place in found.items()}


A, B, C = (tensor(name) for name in "abc")
LARGE, LARGEST = tensor("large", 48), tensor("largest", 112)
X, W = tensor("x", 32, "input"), tensor("w", role="parameter")
BOTH = ((0, 0), (1, 0))


@pytest.mark.parametrize(
    "ops, expected",
    [
        ([op([], [A]), op([A], [B]), op([B], [C])], {"a": 0, "b": 0, "c": 0}),
        ([op([], [LARGE]), op([LARGE], [A]), op([A], [B])], {"large": 0, "a": 0, "b": 0}),
        ([op([], [A]), op([A], [LARGE])], {"a": 32, "large": 0}),
        (
            [op([], [A]), op([A], [LARGE]), op([LARGE], [LARGEST])],
            {"a": 96, "large": 64, "largest": 0},
        ),
        ([op([], [A]), op([A], [LARGE]), op([LARGE], [B])], {"a": 32, "large": 0, "b": 0}),
        (
            [op([], [LARGE]), op([LARGE], [A]), op([A], [LARGEST])],
            {"large": 96, "a": 96, "largest": 0},
        ),
        ([op([X], [A]), op([A], [LARGE])], {"x": 32, "a": 32, "large": 0}),
        ([op([X], [LARGE])], {"x": 16, "large": 0}),
    ],
    ids=[
        "equal",
        "smaller, at the start",
        "larger, ends where the operand ends",
        "grows twice",
        "grows, then shrinks",
        "shrinks, then grows",
        "the input shrinks, then grows",
        "the input grows",
    ],
)
def test_a_chain_lies_in_the_buffer_of_its_first_tensor(ops, expected):
    first = next(iter(expected))
    assert places(*ops) == {name: (first, offset) for name, offset in expected.items()}


@pytest.mark.parametrize(
    "ops, results, buffers",
    [
        ([op([], [A]), op([A], [B]), op([A, B], [C])], [C], "aba"),
        ([op([], [A]), op([A], [B])], [A, B], "ab"),
        ([op([], [A]), op([A], [B]), op([B], [C])], [B], "aac"),
        ([op([], [A]), op([A, A], [B])], [], "ab"),
        ([op([], [A]), op([A], [B], ())], [], "ab"),
        ([op([], [A]), op([A], [W]), op([W], [B])], [], "ab"),
        ([op([], [A]), op([], [B]), op([A, B], [C], BOTH)], [], "aba"),
        ([op([], [A]), op([], [B]), op([A, B], [C], BOTH), reader(A)], [], "abb"),
        ([op([], [A]), op([A], [B, C], ((0, 0), (0, 1)))], [], "aac"),
    ],
    ids=[
        "read later",
        "a result",
        "a result that is read too",
        "read twice by the op",
        "not allowed by the kernel",
        "parameters lie elsewhere",
        "two operands, one result",
        "the second operand, as the first is needed",
        "one operand, two results",
    ],
)
def test_bytes_are_given_away_once_and_by_nobody_who_needs_them(ops, results, buffers):
    found = places(*ops, results=results)
    assert [found[name][0] for name in sorted(found)] == list(buffers)
    assert {offset for _, offset in found.values()} == {0}


def test_two_pairs_of_one_op():
    pairs = ((0, 1), (1, 0))
    found = places(op([], [A]), op([], [LARGE]), op([A, LARGE], [B, C], pairs))
    assert found == {"a": ("a", 0), "c": ("a", 0), "large": ("large", 0), "b": ("large", 0)}


def test_without_reuse_every_tensor_of_the_arena_has_a_buffer():
    program = Step((op([X, W], [A]), op([A], [B, LARGE])), {}, (B,))
    assert own_places(program) == {name: Place(name, 0) for name in ("x", "a", "b", "large")}


@st.composite
def programs(draw) -> Step:
    """Random ops whose kernels allow what a kernel may: results that grow by whole alignments."""
    sizes = st.integers(1, 12).map(lambda n: 4 * n)
    known = [tensor("x", draw(sizes), "input")]
    ops = []
    for index in range(draw(st.integers(1, 8))):
        inputs = draw(st.lists(st.sampled_from(known), min_size=index == 0, max_size=3))
        outputs = [tensor(f"t{index}.{n}", draw(sizes)) for n in range(draw(st.integers(1, 2)))]
        allowed = [
            (a, b)
            for a, operand in enumerate(inputs)
            for b, output in enumerate(outputs)
            if max(output.size_bytes - operand.size_bytes, 0) % 16 == 0
        ]
        pairs = draw(st.permutations(allowed))[: draw(st.integers(0, len(allowed)))]
        ops.append(op(inputs, outputs, pairs, draw(st.sampled_from([0, 0, 20, 64]))))
        known += outputs
    return Step(tuple(ops), {}, tuple(draw(st.sets(st.sampled_from(known[1:]), max_size=2))))


def live_at(program: Step, index: int) -> list[Tensor]:
    """What lies in the arena at op `index`; a result stays to the end."""
    ops = program.tasks
    touched = {t: [] for o in ops for t in (*o.inputs, *o.outputs)}
    for position, one in enumerate(ops):
        for t in (*one.inputs, *one.outputs):
            touched[t].append(position)
    return [
        t
        for t, positions in touched.items()
        if (t.role == "input" or positions[0] <= index)
        and (t in program.results or index <= positions[-1])
    ]


@settings(max_examples=300, deadline=None)
@given(programs())
def test_live_tensors_share_bytes_only_as_operand_and_result_of_one_op(program):
    where = reuse_in_place(program)
    buffers = live_ranges(program, where)
    planned = PlannedStep(program, where, buffers, plan(buffers, iterations=20, effort=0))
    check_plan(buffers, planned.plan)
    for index, one in enumerate(program.tasks):
        spans = {
            t: range(o := planned.offset(t), o + t.size_bytes) for t in live_at(program, index)
        }
        pairs = {(one.inputs[a], one.outputs[b]) for a, b in one.kernel.in_place}
        shared = {
            (t, u) for t in spans for u in spans if t is not u and overlap(spans[t], spans[u])
        }
        given_away = {(t, u) for t, u in shared if (t, u) in pairs}
        assert shared == given_away | {(u, t) for t, u in given_away}
        assert len({t for pair in given_away for t in pair}) == 2 * len(given_away)
        for operand, result in given_away:
            larger = result.size_bytes > operand.size_bytes
            assert all(operand not in later.inputs for later in program.tasks[index + 1 :])
            assert operand not in program.results and one.inputs.count(operand) == 1
            assert spans[operand][-1 if larger else 0] == spans[result][-1 if larger else 0]
        if one.kernel.workspace_bytes:
            offset = planned.workspace_offset(index)
            scratch = range(offset, offset + one.kernel.workspace_bytes)
            assert not any(overlap(scratch, span) for span in spans.values())


def overlap(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)
