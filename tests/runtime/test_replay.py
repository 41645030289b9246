"""Which samples are kept and drawn, by a reference of its own; what power that fails leaves."""

import subprocess
from collections import Counter

import numpy as np
import pytest
from replay_memory import CLASSES, NO_SAMPLES, POLICIES, Memory, build
from shared import slow

SLOTS = 20
GEOMETRIES = [(1, 512), (8, 256), (4, 64), (32, 1024)]  # unit, block; of 64 a slot takes two


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The shared library of a policy, of slots in RAM or flash; each is compiled once."""
    made = {}

    def made_of(policy, in_flash=False, slots=SLOTS):
        key = policy, in_flash, slots
        if key not in made:
            path = tmp_path_factory.mktemp("replay") / "memory.so"
            flags = ("-fsanitize=undefined", "-shared", "-fPIC")
            made[key] = build(path, [], slots, policy, in_flash, *flags)
        return made[key]

    return made_of


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    """The program that adds and cuts, under the sanitizers."""
    programs = {}

    def run(policy, geometry, what):
        if policy not in programs:
            path = tmp_path_factory.mktemp("replay") / policy
            programs[policy] = build(
                path, ["cuts.c"], 7, policy, True, "-fsanitize=address,undefined"
            )
        command = [str(programs[policy]), *map(str, geometry), str(what)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    return run


def below(seed, number, bound):
    """MurmurHash3's finalizer of a Weyl sequence, scaled to `bound`."""
    mask = 2**32 - 1
    x = (seed + number * 0x9E3779B9) & mask
    x = ((x ^ x >> 16) * 0x85EBCA6B) & mask
    x = ((x ^ x >> 13) * 0xC2B2AE35) & mask
    x ^= x >> 16
    return x * bound >> 32


def reference(policy, labels, seed):
    """The number in each slot after samples 1, 2, ... of these labels, as odt_replay.h has it."""
    slots, seen_of = [0] * SLOTS, Counter()
    for number, label in enumerate(labels, 1):
        seen_of[label] += 1
        if policy == "ring":
            place = (number - 1) % SLOTS
        elif number <= SLOTS:
            place = number - 1
        elif policy == "reservoir":
            place = below(seed, 2 * number, number)
        else:
            places = {c: [i for i, n in enumerate(slots) if labels[n - 1] == c] for c in range(5)}
            own, largest = places[label], max(places.values(), key=len)
            if len(own) + 1 < len(largest):
                place = largest[below(seed, 2 * number, len(largest))]
            else:
                index = below(seed, 2 * number, seen_of[label])
                place = own[index] if index < len(own) else SLOTS
        if place < SLOTS:
            slots[place] = number
    return slots


def skewed(count, seed=0):
    """Labels of which the first class is half, and the last comes late."""
    labels = np.random.default_rng(seed).choice(CLASSES, count, p=[0.5, 0.2, 0.2, 0.1, 0])
    labels[count // 2 :: 7] = CLASSES - 1
    return labels.tolist()


@pytest.mark.parametrize("in_flash", [False, True], ids=["ram", "flash"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [3, SLOTS, 150])
def test_the_samples_are_those_of_the_reference(policy, in_flash, count, library):
    labels = skewed(count)
    memory = Memory(library(policy, in_flash), SLOTS, seed=123)
    kept = sum(memory.add(number, label) for number, label in enumerate(labels, 1))
    wanted = reference(policy, labels, 123)
    assert memory.held() == wanted
    assert kept >= np.count_nonzero(wanted) == min(count, SLOTS)


@pytest.mark.parametrize("in_flash", [False, True], ids=["ram", "flash"])
def test_samples_are_drawn_with_equal_chance(in_flash, library):
    memory = Memory(library("reservoir", in_flash), SLOTS, seed=5)
    assert memory.train() == NO_SAMPLES
    for number in range(1, 6):
        memory.add(number)
    drawn = [memory.train() for _ in range(2000)]
    assert drawn == [1 + below(5, 2 * i + 1, 5) for i in range(2000)]
    assert all(330 < count < 470 for count in Counter(drawn).values())


def test_a_reservoir_keeps_each_sample_with_the_same_chance(library):
    found = Counter()
    for seed in range(400):
        memory = Memory(library("reservoir"), SLOTS, seed=seed * 977)
        for number in range(1, 101):
            memory.add(number)
        found.update((number - 1) // 10 for number in memory.held())
    shares = np.array([found[part] for part in range(10)]) / (400 * SLOTS)
    np.testing.assert_allclose(shares, 0.1, atol=0.012)  # three standard errors


def test_balanced_keeps_as_many_of_each_class_and_each_of_a_class_alike(library):
    parts = Counter()
    for seed in range(100):
        labels = skewed(600, seed)
        memory = Memory(library("balanced"), SLOTS, seed=seed)
        for number, label in enumerate(labels, 1):
            memory.add(number, label)
        held = memory.held()
        assert sorted(Counter(labels[n - 1] for n in held).values()) == [4] * CLASSES
        parts.update(n > 300 for n in held if labels[n - 1] == 3)
    assert 0.3 < parts[True] / parts.total() < 0.6  # of what came in the second half: 46 %


@pytest.mark.parametrize("policy", POLICIES)
def test_flash_holds_the_same_after_a_restart_and_goes_on(policy, library):
    memory, labels = Memory(library(policy, True), SLOTS), skewed(200)
    for number, label in enumerate(labels[:90], 1):
        memory.add(number, label)
    before = memory.held()
    assert memory.restart() == 0
    assert memory.held() == before
    for number, label in enumerate(labels[90:], 91):
        assert memory.add(number, label) >= 0
    assert all(memory.held())


def test_a_damaged_byte_costs_a_group_at_most_and_is_never_taken_for_a_sample(library):
    memory = Memory(library("reservoir", True), SLOTS)
    for number in range(1, 31):
        memory.add(number)
    memory.restart()
    whole, costs = memory.held(), set()
    for at in range(1024, 1024 + 4 * 512):  # behind two slots of the store
        memory.damage(at)
        assert memory.restart() == 0
        held = memory.held()
        assert min(held) >= 0  # an older group may count again, whose samples are whole
        costs.add(sum(now != before for now, before in zip(held, whole, strict=True)))
        memory.damage(at)
    assert {0, 1} < costs and max(costs) <= 7  # nothing, a slot, or of a group by its header


def test_ram_holds_nothing_after_a_restart(library):
    memory = Memory(library("ring"), SLOTS)
    memory.add(1)
    assert memory.restart() == 0
    assert memory.held() == [0] * SLOTS


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_what_could_not_be_trained_is_not_kept(label, library):
    memory = Memory(library("ring"), SLOTS)
    assert memory.add(1, label) == -3
    assert memory.held() == [0] * SLOTS


@pytest.mark.parametrize("geometry", GEOMETRIES[1:3])
def test_power_lost_in_any_operation_costs_that_sample_alone(geometry, cuts):
    assert cuts("balanced", geometry, 14) == ""


@slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_power_lost_in_any_operation_of_a_longer_life(policy, geometry, cuts):
    assert cuts(policy, geometry, 60) == ""


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_device_that_loses_power_time_and_again_keeps_its_samples(geometry, cuts):
    assert cuts("balanced", geometry, "chain") == ""


@slow
def test_wear_is_counted_and_falls_where_a_reservoir_chooses(cuts):
    reservoir, ring = (int(cuts(policy, (8, 256), "wear")) for policy in ("reservoir", "ring"))
    assert reservoir < 60 < 1900 < ring < 2100
