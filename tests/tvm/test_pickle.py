"""Passes in a TVM user's hands: pickled and copied with their arguments, named in instruments."""

import copy
import inspect
import pickle

import pytest
import tiny
import tvm
from structure import assert_same
from tvm.ir.instrument import pass_instrument

import relay_passes
from relay_passes.optimizers import Momentum
from tvm_ondevice_train.training_graph import loss_module


def is_pass(exported):
    return inspect.isclass(exported) and issubclass(exported, tvm.transform.Pass)


ARGUMENTS = {
    "AppendLoss": {"loss": "mse"},
    "NarrowAdjoints": {"format": "bfloat16"},
    "ReorderForMemory": {"roles": ("input", "target")},
    "SparseBackward": {
        "scheme": {"conv.weight": [0], "head.bias": None},
        "optimizer": Momentum(momentum=0.5),
    },
    "SplitParameters": {"channels": {"conv.weight": [1]}},
    "lowering": {"fuse": False},
}
EXPORTED = {name: getattr(relay_passes, name) for name in relay_passes.__all__}
CLASSES = {n: e for n, e in EXPORTED.items() if is_pass(e)}
PASSES = {n: make(**ARGUMENTS.get(n, {})) for n, make in CLASSES.items()}
PASSES["lowering"] = relay_passes.lowering(**ARGUMENTS["lowering"])
WAYS = {
    "pickle": lambda each: pickle.loads(pickle.dumps(each)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_comes_back_with_its_name(name, way):
    again = way(PASSES[name])
    assert type(again) is type(PASSES[name]) and again is not PASSES[name]
    assert isinstance(again, tvm.transform.Pass)
    assert again.info.name == f"odt.{name}"


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_its_arguments_come_back(way):
    module = loss_module(tiny.network(), "cross_entropy")
    backward = way(PASSES["SparseBackward"])
    step = backward(module)
    assert_same(step, PASSES["SparseBackward"](module))
    assert backward.optimizer == Momentum(momentum=0.5)
    assert_same(way(PASSES["lowering"])(step), PASSES["lowering"](step))


def test_arguments_given_by_their_place_come_back():
    again = pickle.loads(pickle.dumps(relay_passes.IntegerGradients(False)))
    assert again.windows is False


@pytest.mark.parametrize("name", CLASSES)
def test_a_pass_stays_a_class_of_its_own(name):
    made = CLASSES[name]
    assert (made.__name__, made.__qualname__) == (name, name)
    assert made.__module__.startswith("relay_passes.") and made.__doc__.strip()
    assert "self" not in inspect.signature(made).parameters


def test_signatures_are_those_of_the_constructors():
    assert list(inspect.signature(relay_passes.ReorderForMemory).parameters) == [
        "roles",
        "rollback",
        "func_name",
        "changing",
    ]
    assert "fuse" in inspect.signature(relay_passes.lowering).parameters


@pass_instrument
class Names:
    def __init__(self):
        self.seen = []

    def run_before_pass(self, _module, info):
        self.seen.append(info.name)


def test_instruments_tell_our_passes_from_those_of_tvm():
    names = Names()
    with tvm.transform.PassContext(instruments=[names]):
        relay_passes.lowering()(loss_module(tiny.network(), "cross_entropy"))
    ours = {name.removeprefix("odt.") for name in names.seen if name.startswith("odt.")}
    assert {"lowering", "LegalizeOps", "FusePrologue", "InPlace"} <= ours <= set(EXPORTED)
    assert {"FuseOps", "sequential"} & set(names.seen) == {"FuseOps"}
