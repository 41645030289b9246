"""All that a project can be compiled with, simulated: bit for bit its host program."""

import numpy as np
import pytest
import tiny
from shared import slow_after

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.losses import LABEL, LABEL_MAP
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.simulator import Simulation, host_model

STEPS, SAMPLES = 60, 9
MAPS = TensorSpec((1, 2, 4, 4), "float32")
CASES = {
    "classes": {"classes": 2, "max_classes": 5, "head": "cosine"},
    "replay": {"replay": 5, "replay_policy": "balanced", "replay_in": "flash", "scheme": "head"},
    "features": {"replay": 4, "replay_of": "features", "replay_policy": "ring", "scheme": "head"},
    "batch": {"batch": 4, "accumulator": "float32", "optimizer": "momentum"},
    "clipping": {"clip_norm": 0.05},
    "adamw": {"optimizer": "adamw", "state_dtype": "int8", "weight_decay": 0.01},
    "bce": {"loss": "bce", "positive_weight": 2.0},
    "maps": {"label_smoothing": 0.1, "ignore_index": 255},
    "reservoir": {"replay": 4, "replay_policy": "reservoir", "loss": "huber", "batch": 3},
}


@pytest.fixture(autouse=True, scope="module")
def _a_cache_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def plain():
    return host_model(odt.compile(tiny.network(True), board="host"))


def segmenter() -> Model:
    """A 1x1 convolution: 3 classes for each of 4x4 pixels."""
    from tvm import relax

    weight = np.random.default_rng(0).normal(size=(3, 2, 1, 1)).astype(np.float32)

    def body(emit, x, weight):
        return relax.op.nn.conv2d(x, weight)

    main = tiny.module({"x": (MAPS.shape, "float32"), "w": (weight.shape, "float32")}, body)
    return Model("maps", main, {"w": weight}, MAPS)


def compiled(case: str):
    options = {"scheme": "full", "board": "host", **CASES[case]}
    return odt.compile(segmenter() if case == "maps" else tiny.network(True), **options)


def data(manifest):
    """Samples and targets as the device reads them; of classes those of the beginning."""
    generator = np.random.default_rng(0)
    shape, target = (SAMPLES, *manifest.sample_shape), manifest.target
    x = generator.integers(-128, 128, shape).astype(manifest.input.dtype)
    if target.kind in (LABEL, LABEL_MAP):
        y = generator.integers(0, manifest.active_classes or manifest.classes, (SAMPLES, 16))
        return x, y.astype(np.int32)[:, : target.nbytes // 4]
    return x, generator.random((SAMPLES, target.nbytes // 4)).astype(np.float32)


def learned(learner) -> bytes:
    """All that `learner` tells of so many steps, with all that its project can do."""
    manifest = learner.manifest
    learner.set_seed(3)
    learner.set_learning_rate(0.02)
    x, y = data(manifest)
    found = []
    for step in range(STEPS):
        sample, target = x[step % SAMPLES], y[step % SAMPLES]
        found.append(learner.train_encoded(sample, target))
        if manifest.replay is not None:
            kept = learner.remember_encoded(sample, target)
            found += kept.kept, kept.held, kept.seen, learner.rehearse(), learner.rehearse()
        if step % 10 == 9:
            found += learner.evaluate_encoded(sample, target)
        if step == 20 and manifest.unused is not None:
            found += learner.add_class(), learner.classes()
            y[0] = 2
    learner.apply()
    values = learner.parameters()
    return b"".join(np.asarray(part, np.float32).tobytes() for part in (*found, *values.values()))


@pytest.mark.parametrize("case", slow_after(2, CASES))
def test_a_simulation_is_its_host_program(case, tmp_path):
    model = compiled(case)
    with Session(model.save(tmp_path / "project")) as device:
        expected = learned(device)
    simulated = host_model(model)
    simulation = Simulation(simulated)
    assert learned(simulation) == expected
    assert learned(Simulation(simulated, cache_bytes=0)) == expected
    simulation.reset()  # no sample is kept
    assert learned(simulation) == expected


@pytest.mark.parametrize("again", [True, False])
def test_samples_that_do_not_come_again_take_no_place(again, plain):
    lines = []
    simulation = Simulation(plain, cache_bytes=2, say=lines.append, trains_again=again)
    x, y = data(simulation.manifest)
    assert np.isfinite(simulation.train_encoded(x[0], y[0]))
    assert len(lines) == again
    simulation.evaluate_encoded(x[0], y[0])
    assert len(lines) == 1 + again


def test_what_a_model_cannot_do_is_refused(plain):
    with pytest.raises(OdtError, match="simulate: no class can be added; compile it with --max-cl"):
        Simulation(plain).add_class()
    for call in (lambda one: one.rehearse(), lambda one: one.remember_encoded(*data(one.manifest))):
        with pytest.raises(OdtError, match="simulate: the model keeps no samples; compile it with"):
            call(Simulation(plain))
