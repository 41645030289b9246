"""A step that goes on from a sample's features: the bits of the whole step."""

import ctypes

import numpy as np
import pytest
import tiny
from shared import slow_after

import tvm_ondevice_train as odt
from tvm_ondevice_train.simulator.library import library_of

CASES = [
    ("head", True, {}),
    ("bias:1", False, {}),
    ("head", True, {"optimizer": "momentum", "backward": "float32"}),
    ("full", True, {}),
    ("head", True, {"loss": "mse"}),
    ("head", True, {"batch": 2, "optimizer": "adam"}),
]


class Model:
    """The library of a compiled model, with an odt_t of its own."""

    def __init__(self, compiled, cache):
        self.library = ctypes.CDLL(str(library_of(compiled.files, cache)))
        facts = (ctypes.c_uint32 * 9)()
        self.library.odt_library_facts(facts)
        self.train_bytes, self.evaluation_bytes, self.params_bytes = facts[7], facts[8], facts[1]
        self.state = np.zeros(facts[0] + 64, np.uint8)
        arena = np.zeros(facts[5] + facts[6], np.uint8)
        start = -arena.ctypes.data % facts[6]
        self.arena = arena[start : start + facts[5]]
        status = self.library.odt_init(self.of(self.state), self.of(self.arena), self.arena.nbytes)
        assert status == 0

    @staticmethod
    def of(array):
        return ctypes.c_void_p(array.ctypes.data)

    def call(self, name, *arrays) -> int:
        return getattr(self.library, name)(self.of(self.state), *map(self.of, arrays))

    @property
    def parameters(self) -> bytes:
        return self.state[: self.params_bytes].tobytes()


def samples(compiled, count=6):
    generator = np.random.default_rng(0)
    spec, target = compiled.planned.input, compiled.planned.target
    x = generator.integers(-128, 128, (count, *spec.shape)).astype(spec.dtype)
    if target.dtype == "int32":
        return x, generator.integers(0, 3, (count, 1)).astype(np.int32)
    return x, generator.normal(size=(count, *target.shape)).astype(np.float32)


@pytest.mark.parametrize("scheme, quantized, options", slow_after(3, CASES))
def test_steps_and_evaluations_from_features_are_the_whole_ones(
    scheme, quantized, options, tmp_path
):
    network = tiny.network(quantized)
    compiled = odt.compile(network, scheme=scheme, board="host", split=True, **options)
    plain = odt.compile(network, scheme=scheme, board="host", **options)
    assert "ODT_FEATURE_BYTES" not in plain.files["model.h"]
    assert compiled.planned.model_hash == plain.planned.model_hash
    whole, parts = Model(compiled, tmp_path), Model(compiled, tmp_path)
    train = np.zeros(parts.train_bytes, np.uint8)
    evaluation = np.zeros(parts.evaluation_bytes, np.uint8)
    outputs = compiled.planned.output_shape[-1]
    for sample, target in zip(*samples(compiled), strict=True):
        assert parts.call("odt_features", sample, train) == 0
        assert parts.call("odt_evaluation_features", sample, evaluation) == 0
        found = [np.zeros(1 + outputs + 1, np.float32) for _ in range(2)]
        for model, kind, given, result in (
            (whole, "", (sample, sample), found[0]),
            (parts, "_features", (train, evaluation), found[1]),
        ):
            model.arena[:] = 0x5A  # nothing else of the arena is needed
            loss, output, after = result[:1], result[1:-1], result[-1:]
            assert model.call(f"odt_train{kind or '_step'}", given[0], target, loss) == 0
            model.arena[:] = 0xA5
            assert model.call(f"odt_evaluate{kind}", given[1], target, output, after) == 0
        assert found[0].tobytes() == found[1].tobytes() and np.isfinite(found[0]).all()
        assert whole.parameters == parts.parameters


def test_bad_arguments_change_nothing(tmp_path):
    compiled = odt.compile(tiny.network(True), scheme="head", board="host", split=True)
    model = Model(compiled, tmp_path)
    x, y = samples(compiled)
    features, loss = np.zeros(model.train_bytes, np.uint8), np.zeros(1, np.float32)
    before = model.parameters
    assert model.call("odt_train_features", features, np.array([3], np.int32), loss) == -3
    assert model.library.odt_features(None, Model.of(x), Model.of(features)) == -1
    assert model.library.odt_train_features(Model.of(model.state), None, Model.of(y), None) == -1
    assert model.parameters == before
