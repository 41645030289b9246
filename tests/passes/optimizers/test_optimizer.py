"""Optimizers as values: what they hold, and what they refuse."""

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from relay_passes.optimizers import (
    HYPERPARAMETERS,
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    Momentum,
    Optimizer,
    State,
    blocks_of,
    defaults_of,
    inputs_of,
    optimizer_of,
)
from relay_passes.optimizers.inputs import Kept
from relay_passes.optimizers.optimizer import hyperparameter


def test_the_optimizers_are_known_by_their_names():
    assert OPTIMIZERS["sgd"] is SGD and OPTIMIZERS["momentum"] is Momentum
    assert OPTIMIZERS["adam"] is Adam and OPTIMIZERS["adamw"] is AdamW
    assert sorted(HYPERPARAMETERS) == [
        *("beta1", "beta2", "clip_norm", "epsilon", "learning_rate", "momentum", "weight_decay")
    ]
    assert HYPERPARAMETERS["learning_rate"].default == SGD().learning_rate == 0.01


def test_defaults_of_adam_are_pytorchs():
    for ours, theirs in [(Adam(), torch.optim.Adam), (AdamW(), torch.optim.AdamW)]:
        found = theirs([torch.zeros(1)]).defaults
        assert (ours.beta1, ours.beta2) == found["betas"] and ours.epsilon == found["eps"]
        assert (ours.learning_rate, ours.weight_decay) == (found["lr"], found["weight_decay"])
    assert defaults_of("weight_decay") == {"sgd": 0.0, "adam": 0.0, "adamw": 0.01, "momentum": 0.0}


@pytest.mark.parametrize("optimizer", [Adam(0.1, weight_decay=0.2), AdamW(0.1)], ids=str)
def test_the_arithmetic_of_adam_holds_for_arrays(optimizer):
    """In float64, where nothing else than the formula can differ from PyTorch."""
    value = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    kind = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
    theirs = kind([value], lr=0.1, weight_decay=optimizer.weight_decay)
    ours, hyper = value.detach().numpy().copy(), optimizer.kept
    states = {state.name: np.zeros(3) for state in optimizer.states}
    scalars = {scalar.name: scalar.start for scalar in optimizer.scalars}
    for gradient in np.random.default_rng(0).normal(size=(30, 3)):
        value.grad = torch.tensor(gradient)
        theirs.step()
        scalars = optimizer.next_scalars(scalars, hyper)
        states = optimizer.next_states(gradient, ours, states, {**hyper, **scalars})
        ours -= 0.1 * optimizer.direction(gradient, ours, states, {**hyper, **scalars})
    np.testing.assert_allclose(ours, value.detach().numpy(), rtol=1e-10)


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
        (
            lambda: optimizer_of("lion", {}),
            'optimizer is "lion"; allowed are adam, adamw, momentum, sgd',
        ),
        (lambda: Adam(epsilon=0), "epsilon is 0; it must be above 0, and finite, as a float32"),
        (lambda: Adam(state_dtype="int4"), 'state_dtype is "int4"; allowed are float32, int8'),
        (lambda: SGD(state_dtype="int8"), "state_dtype is int8, but sgd keeps no state"),
        (lambda: Adam(beta2=1.0), "beta2 is 1.0; it must be 0 or more, and below 1"),
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
    assert found.scalars == {}
    assert found.states == {
        "a": {"velocity": ("a.velocity_",)},
        "b": {"velocity": ("b.velocity",)},
    }
    assert found.starts == {
        "weight_decay": 0.5,
        "momentum_": 0.9,
        "a.velocity_": 0.0,
        "b.velocity": 0.0,
    }


def test_numbers_that_it_keeps_have_names_of_their_own():
    found = inputs_of(Adam(), ["w"], ["w", "mean_correction"])
    assert found.scalars == {
        "mean_correction": "mean_correction_",
        "square_correction": "square_correction",
    }
    assert found.states == {"w": {"mean": ("w.mean",), "square": ("w.square",)}}


def test_codes_have_scales_beside_them_where_a_tensor_has_blocks():
    found = inputs_of(Momentum(state_dtype="int8"), ["w"], ["w", "w.velocity_scale"])
    codes, scale = "w.velocity", "w.velocity_scale_"
    assert found.states == {"w": {"velocity": (codes, scale)}}
    assert found.kept("w", (4, 10, 3)) == {
        "velocity": (Kept(codes, (2, 60), "int8"), Kept(scale, (2,), "float32"))
    }
    assert found.kept("w", (5, 3)) == {"velocity": (Kept(codes, (5, 3), "float32"),)}


@pytest.mark.parametrize(
    "shape, blocks",
    [
        ((64, 64), (64, 64)),
        ((240, 9), (36, 60)),
        ((10, 160), (25, 64)),
        ((32,), (2, 16)),
        ((16,), None),  # a single block
        ((60,), (2, 30)),
        ((2, 127), None),  # no divisor from 16 to 64
        ((), None),
    ],
)
def test_blocks_are_equal_and_at_least_two(shape, blocks):
    assert blocks_of(shape) == blocks


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
        with pytest.raises(ValueError, match="but count of test_sign does not start at 0; its"):
            Sign(state_dtype="int8")
        assert optimizer_of("test_sign", {"step": 1.5}) == Sign(step=1.5)
        names = [one.name for one in Sign.described()]
        assert (names[0], names[-1]) == ("learning_rate", "step") and "lr_scale" not in names
        assert inputs_of(Sign(), ["w"], ["w"]).starts == {"step": 0.5, "w.count": 3.0}
    finally:
        del OPTIMIZERS["test_sign"]


def test_listing_them_loads_no_tvm():
    program = "import sys, relay_passes.optimizers; sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
