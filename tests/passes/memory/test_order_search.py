"""Orders of tasks with few bytes live: against brute force, by hand, and on a training step."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_passes.memory import order_search
from relay_passes.memory.order_exact import Graph, Task
from relay_passes.memory.order_search import Order


def search(tasks, sizes, results, **options) -> Order:
    return order_search.search(Graph(tuple(tasks), sizes, frozenset(results)), **options)


def live_bytes(tasks, sizes, results, order) -> list[int]:
    """The bytes at each task of `order`: what is live, what the task writes, its workspace."""
    return Graph(tuple(tasks), sizes, frozenset(results)).profile(order)


def peak_of(*problem) -> int:
    return max(live_bytes(*problem), default=0)


def needs(tasks) -> list[set[int]]:
    """For each task those that must run before."""
    writer = {name: index for index, task in enumerate(tasks) for name in task.writes}
    return [{*t.after, *(writer[n] for n in t.reads if n in writer)} for t in tasks]


def is_valid(tasks, order) -> bool:
    ran = [set(order[:position]) for position in range(len(order))]
    before = needs(tasks)
    return sorted(order) == list(range(len(tasks))) and all(
        before[task] <= done for task, done in zip(order, ran, strict=True)
    )


def valid_orders(before, order=()):
    if len(order) == len(before):
        yield order
    for task, needed in enumerate(before):
        if task not in order and needed <= {*order}:
            yield from valid_orders(before, (*order, task))


def expected_bytes(tasks, sizes, results, order) -> list[int]:
    """What `live_bytes` says, from the first and the last position of each tensor."""
    at = {task: position for position, task in enumerate(order)}
    first, last = {}, {}
    for name in sizes:
        written = [at[i] for i, task in enumerate(tasks) if name in task.writes]
        read = [at[i] for i, task in enumerate(tasks) if name in task.reads]
        if written or read or name in results:
            first[name] = min(written, default=0)
            last[name] = len(order) if name in results else max(read or written)
    profile = []
    for position, task in enumerate(tasks[i] for i in order):
        total = sum(sizes[name] for name in first if first[name] <= position <= last[name])
        ended = [
            (read, written)
            for read, written in task.in_place
            if read in sizes and written in sizes and last[read] == position
        ]
        profile.append(total - most_shared(ended, sizes) + task.workspace_bytes)
    return profile


def most_shared(pairs, sizes) -> int:
    """The most bytes that pairs can share of which no tensor is in two."""
    return max(
        sum(min(sizes[name] for name in pair) for pair in chosen)
        for count in range(len(pairs) + 1)
        for chosen in itertools.combinations(pairs, count)
        if len({name for pair in chosen for name in pair}) == 2 * count
    )


def random_problem(count: int, choices: random.Random):
    """(tasks, sizes, results): tensors with several readers, or none, or that take no bytes."""
    tasks, sizes, names = [], {"input": choices.randint(0, 8)}, ["input"]
    for index in range(count):
        reads = choices.sample(names, min(choices.randint(0, 3), len(names)))
        writes = [f"{index}.{i}" for i in range(choices.choice((0, 1, 1, 1, 2)))]
        pairs = [(read, written) for read in reads for written in writes]
        pairs = choices.sample(pairs, choices.randint(0, len(pairs)))
        after = [other for other in range(index) if choices.random() < 0.1]
        workspace = choices.choice((0, 0, 0, 3, 6))
        tasks.append(Task(tuple(reads), tuple(writes), workspace, tuple(pairs), tuple(after)))
        names += writes
        sizes |= {name: choices.randint(0, 8) for name in writes if choices.random() < 0.9}
    return tasks, sizes, {name for name in names if choices.random() < 0.15}


RANDOM = st.randoms(use_true_random=False)


@given(st.integers(1, 7), RANDOM, st.sampled_from((0, 3, 2000)))
@settings(max_examples=150, deadline=None)
def test_brute_force_finds_no_better_order_and_no_higher_bound(count, choices, effort):
    problem = random_problem(count, choices)
    found = search(*problem, effort=effort)
    least = min(max(live_bytes(*problem, order)) for order in valid_orders(needs(problem[0])))
    assert found.lower_bound_bytes <= least <= found.peak_bytes
    assert found.method == ("exact" if found.peak_bytes == found.lower_bound_bytes else "heuristic")
    assert found.method == "exact" or effort < 2000


@given(st.integers(0, 30), RANDOM)
@settings(max_examples=60, deadline=None)
def test_an_order_is_valid_repeatable_and_no_worse_than_the_one_given(count, choices):
    problem = random_problem(count, choices)
    found = search(*problem, effort=100)
    profile = live_bytes(*problem, found.tasks)
    assert is_valid(problem[0], found.tasks)
    assert profile == expected_bytes(*problem, found.tasks)
    assert found.peak_bytes == max(profile, default=0) <= peak_of(*problem, range(count))
    assert search(*problem, effort=100) == found


def test_an_operand_that_is_free_earlier_never_costs_bytes():
    """Taken in their order, `input` would give its 0 bytes to `sum`, and `maps` keep its own."""
    pairs = (("mask", "out"), ("maps", "out"), ("input", "sum"), ("maps", "sum"))
    tasks = [
        Task((), ("start",)),
        Task(("input", "start"), (), after=(0,)),
        Task((), ("maps",), after=(0,)),
        Task((), ("mask",), after=(2,)),
        Task(("maps", "mask", "input"), ("out", "sum"), in_place=pairs),
    ]
    sizes = {"input": 0, "start": 0, "maps": 1, "mask": 0, "out": 0, "sum": 1}
    for order in ((0, 1, 2, 3, 4), (0, 2, 3, 4, 1)):
        assert live_bytes(tasks, sizes, {"out", "sum"}, order)[order.index(4)] == 1
    assert search(tasks, sizes, ["out", "sum"]) == Order((0, 1, 2, 3, 4), 1, 1, "exact")


def test_among_equal_orders_the_one_given_stays():
    tasks = [Task(("x",), (name,)) for name in "cab"] + [Task(("a", "b", "c"), ("y",))]
    assert search(tasks, dict.fromkeys("xabcy", 1), ["y"]) == Order((0, 1, 2, 3), 4, 4, "exact")


def test_a_gradient_that_is_not_stored_is_used_before_the_next_adjoint_is_made():
    sizes = {"activation": 10, "adjoint": 40, "next": 40, "loss": 1}

    def tasks(update_after):
        return [
            Task((), ("activation",)),
            Task(("activation",), ("adjoint",)),
            Task(("adjoint", "weight"), ("next",)),
            Task(("next",), ("loss",)),
            Task(("adjoint", "activation", "weight"), (), after=update_after),
        ]

    assert peak_of(tasks(()), sizes, ["loss"], range(5)) == 91
    assert search(tasks(()), sizes, ["loss"]) == Order((0, 1, 4, 2, 3), 80, 80, "exact")
    assert search(tasks((2,)), sizes, ["loss"]) == Order((0, 1, 2, 4, 3), 90, 90, "exact")


def test_a_small_gradient_and_its_update_run_before_the_next_adjoint_is_made():
    tasks = [
        Task((), ("adjoint",)),
        Task(("adjoint",), ("next",)),
        Task(("next",), ("last",)),
        Task(("adjoint",), ("gradient",)),
        Task(("gradient",), ()),
    ]
    sizes = {"adjoint": 40, "next": 40, "last": 40, "gradient": 4}
    assert peak_of(tasks, sizes, ["last"], range(5)) == 120
    assert search(tasks, sizes, ["last"]) == Order((0, 3, 4, 1, 2), 80, 80, "exact")


@pytest.mark.parametrize(
    "workspace, order, peak",
    [
        pytest.param(0, (0, 3, 1, 2, 4), 172, id="before-what-frees-the-activation"),
        pytest.param(20, (0, 1, 3, 2, 4), 184, id="after-a-larger-peak"),
    ],
)
def test_a_mask_is_made_before_its_activation_costs_more(workspace, order, peak):
    tasks = [
        Task((), ("x",)),
        Task(("x",), ("y",), workspace),
        Task(("y",), ("z",)),
        Task(("x",), ("mask",)),
        Task(("z", "mask"), ("loss",)),
    ]
    sizes = {"x": 64, "y": 100, "z": 40, "mask": 8, "loss": 1}
    assert peak_of(tasks, sizes, ["loss"], range(5)) == 204
    found = search(tasks, sizes, ["loss"])
    assert found.peak_bytes == found.lower_bound_bytes == peak
    assert peak_of(tasks, sizes, ["loss"], order) == peak
    assert found.tasks.index(3) < found.tasks.index(2)


RESIDUAL_BYTES = {"adjoint": 40, "small": 10, "branch": 40, "sum": 40, "loss": 1}


def residual(*pairs):
    """An adjoint goes through a branch and past it; a leaf with scratch reads it too."""
    return [
        Task((), ("adjoint",)),
        Task(("adjoint",), ("small",)),
        Task(("small",), ("branch",)),
        Task(("adjoint",), (), workspace_bytes=30),
        Task(("adjoint", "branch"), ("sum",), in_place=pairs),
        Task(("sum",), ("loss",)),
    ]


@pytest.mark.parametrize(
    "order, pairs, results, profile",
    [
        ((0, 1, 2, 3, 4, 5), [], [], [40, 50, 90, 110, 120, 41]),
        ((0, 1, 2, 3, 4, 5), [("adjoint", "sum")], [], [40, 50, 90, 110, 80, 41]),
        ((0, 1, 2, 4, 3, 5), [("adjoint", "sum")], [], [40, 50, 90, 120, 110, 41]),
        ((0, 1, 2, 3, 4, 5), [("adjoint", "sum")], ["adjoint"], [40, 50, 90, 110, 120, 81]),
        (
            (0, 1, 2, 4, 3, 5),
            [("adjoint", "sum"), ("branch", "sum")],
            [],
            [40, 50, 90, 80, 110, 41],
        ),
    ],
    ids=["none", "last-reader", "read-later", "of-a-result", "of-the-other"],
)
def test_a_sum_takes_the_place_of_an_operand(order, pairs, results, profile):
    problem = residual(*pairs), RESIDUAL_BYTES, results
    assert live_bytes(*problem, order) == expected_bytes(*problem, order) == profile


def test_a_leaf_at_a_residual_does_not_wait_for_the_branch():
    found = search(residual(("adjoint", "sum")), RESIDUAL_BYTES, ["loss"])
    assert found.peak_bytes == found.lower_bound_bytes == 90


def test_what_is_beside_the_peak_is_low_as_well():
    """Out of place the sum needs 120 in any case; what runs before it then still needs only 90."""
    found = search(residual(), RESIDUAL_BYTES, ["loss"])
    assert found.peak_bytes == found.lower_bound_bytes == 120
    assert max(live_bytes(residual(), RESIDUAL_BYTES, ["loss"], found.tasks)[:4]) == 90


IMAGE, STEM, ACTIVATION, BLOCKS = 32768, 131072, 4096, 30
MASK, SLICE, ADJOINT = ACTIVATION // 8, ACTIVATION // 4, 4 * ACTIVATION


def training_step():
    """(tasks, sizes, how many of them are forward), masks, slices and leaves as late as can be.

    A large stem, then residual blocks of which a mask and a slice are kept for the backward.
    """
    tasks, sizes = [], {"image": IMAGE, "stem": STEM, "x0": ACTIVATION, "loss": 4}

    def add(reads, size=0, **options):
        name = f"t{len(tasks)}"
        if size:
            sizes[name] = size
        tasks.append(Task(tuple(reads), (name,) if size else (), **options))
        return name

    tasks += [Task(("image",), ("stem",)), Task(("stem",), ("x0",))]
    x, outputs = "x0", []
    for _ in range(BLOCKS):
        y = add([x, "weight"], ACTIVATION)
        outputs.append(y)
        x = add([x, y], ACTIVATION, in_place=((x, f"t{len(tasks)}"), (y, f"t{len(tasks)}")))
    kept = [(add([y], MASK), add([y], SLICE)) for y in outputs]
    tasks.append(Task((x,), ("loss",)))
    forward, adjoint, leaves = len(tasks), add(["loss"], ADJOINT), []
    for mask, piece in reversed(kept):
        masked = add([adjoint, mask], ADJOINT)
        branch = add([masked, "weight"], ADJOINT)
        leaves += [([masked, piece], len(tasks) - 1), ([add([masked], 64)], len(tasks) - 1)]
        place = f"t{len(tasks)}"
        adjoint = add([adjoint, branch], ADJOINT, in_place=((adjoint, place), (branch, place)))
    for reads, after in leaves:
        add(reads, after=(after,), workspace_bytes=32)
    add([adjoint], 4)
    return tasks, sizes, forward


def test_the_backward_is_low_although_the_forward_sets_the_peak():
    tasks, sizes, forward = training_step()
    found = search(tasks, sizes, ["loss"])
    profile = live_bytes(tasks, sizes, ["loss"], found.tasks)
    ends = found.tasks.index(forward - 1)
    # In the last block: its three adjoints; the slice, as the update waits for the other reader of
    # the weight; what the blocks before keep.
    least = 3 * ADJOINT + SLICE + (BLOCKS - 1) * (MASK + SLICE) + sizes["loss"]
    assert len(tasks) > 270
    assert is_valid(tasks, found.tasks)
    assert found.peak_bytes == found.lower_bound_bytes == IMAGE + STEM
    assert max(profile[ends:]) == least


@pytest.mark.parametrize(
    "tasks, message",
    [
        ([Task(("b",), ("a",)), Task(("a",), ("b",))], "task 0 needs task 1, not given before"),
        ([Task(("a",), ("a",))], "task 0 needs task 0, not given before"),
        ([Task((), (), after=(3,))], "task 0 needs task 3, not given before"),
        ([Task((), ("a",)), Task((), ("a",)), Task(("a",), ())], 'tasks 0 and 1 both write "a"'),
        ([Task((), ("a",), in_place=(("b", "a"),))], 'task 0 cannot put "a" in place of "b"'),
    ],
    ids=["cycle", "own-result", "unknown-task", "two-writers", "place-of-what-is-not-read"],
)
def test_what_is_no_problem_is_refused(tasks, message):
    with pytest.raises(ValueError) as refusal:
        search(tasks, {"a": 1}, [])
    assert str(refusal.value) == f"order search: {message}"


def test_what_is_decoded_early_is_decoded_when_it_is_read():
    """A hundred decoded copies, given first: no window of a search moves them so far."""
    count = 100
    sizes = {f"codes{i}": 16 for i in range(count)} | {f"real{i}": 64 for i in range(count)}
    tasks = [Task((f"codes{i}",), (f"real{i}",)) for i in range(count)]
    tasks += [Task((f"real{i}",), (f"updated{i}",)) for i in range(count)]
    order = search(tasks, sizes, ())
    assert peak_of(tasks, sizes, (), range(2 * count)) == 64 * count + 16
    assert order.peak_bytes == 16 * count + 64 == order.lower_bound_bytes
