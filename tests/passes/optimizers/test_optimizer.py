"""Optimizers as values: what they hold, and what they refuse."""

import re
import subprocess
import sys
from dataclasses import dataclass, fields
from typing import Any

import pytest

from relay_passes.optimizers import (
    HYPERPARAMETERS,
    OPTIMIZERS,
    SGD,
    Momentum,
    Optimizer,
    State,
    inputs_of,
    optimizer_of,
)
from relay_passes.optimizers.optimizer import hyperparameter


def test_the_optimizers_are_known_by_their_names():
    assert OPTIMIZERS["sgd"] is SGD and OPTIMIZERS["momentum"] is Momentum
    assert list(HYPERPARAMETERS) == ["learning_rate", "clip_norm", "weight_decay", "momentum"]


@pytest.mark.parametrize(
    "name, hyper, expected",
    [
        ("sgd", {}, SGD()),
        ("sgd", {"weight_decay": 0.5}, SGD(weight_decay=0.5)),
        ("momentum", {"momentum": 0, "learning_rate": 1}, Momentum(1.0, momentum=0.0)),
    ],
)
def test_an_optimizer_of_a_name_and_numbers(name, hyper, expected):
    assert optimizer_of(name, hyper) == expected


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(learning_rate=-1), "learning_rate is -1; it must be 0 or more, and finite"),
        (lambda: SGD(learning_rate=float("nan")), "learning_rate is NaN"),
        (lambda: SGD(learning_rate="0.1"), 'learning_rate is "0.1"; it must be'),
        (lambda: SGD(learning_rate=True), "learning_rate is true"),
        (lambda: SGD(weight_decay=float("inf")), "weight_decay is Infinity"),
        (lambda: Momentum(momentum=1), "momentum is 1; it must be 0 or more, and below 1"),
        (lambda: optimizer_of("adam", {}), 'optimizer is "adam"; allowed are momentum, sgd'),
        (
            lambda: optimizer_of("sgd", {"momentum": 0.9}),
            "optimizer sgd has no momentum, but learning_rate, clip_norm, weight_decay; "
            "momentum would have it",
        ),
        (
            lambda: optimizer_of("sgd", {"beta": 1}),
            "has no beta, but learning_rate, clip_norm, weight_decay",
        ),
    ],
)
def test_what_means_nothing_is_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_an_optional_number_that_is_0_is_no_part_of_the_step():
    assert SGD().kept == {} and SGD(weight_decay=0.5).kept == {"weight_decay": 0.5}
    assert Momentum(momentum=0.0).kept == {"momentum": 0.0}


def test_names_of_inputs_are_unlike_those_of_parameters():
    parameters = ["a", "a.velocity", "momentum", "b"]
    found = inputs_of(Momentum(weight_decay=0.5), ["a", "b"], parameters)
    assert found.hyper == {"weight_decay": "weight_decay", "momentum": "momentum_"}
    assert found.states == {"a": {"velocity": "a.velocity_"}, "b": {"velocity": "b.velocity"}}
    assert found.starts == {
        "weight_decay": 0.5,
        "momentum_": 0.9,
        "a.velocity_": 0.0,
        "b.velocity": 0.0,
    }


def test_a_subclass_joins_the_others():
    @dataclass(frozen=True)
    class Sign(Optimizer):
        name = "test_sign"
        states = (State("count", start=3.0),)
        step: float = hyperparameter(0.5, "How far.", below=2.0)

        def next_states(self, gradient: Any, value: Any, states, hyper) -> dict:
            return {"count": states["count"] + 1}

        def direction(self, gradient: Any, value: Any, states, hyper) -> Any:
            return gradient * hyper["step"]

    try:
        assert optimizer_of("test_sign", {"step": 1.5}) == Sign(step=1.5)
        assert [one.name for one in Sign.described()] == [f.name for f in fields(Sign)]
        assert inputs_of(Sign(), ["w"], ["w"]).starts == {"step": 0.5, "w.count": 3.0}
    finally:
        del OPTIMIZERS["test_sign"]


def test_listing_them_loads_no_tvm():
    program = "import sys, relay_passes.optimizers; sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
