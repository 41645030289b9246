"""Classes that are added on the device, and heads of cosines, beside PyTorch."""

import json
from functools import cache

import numpy as np
import pytest
import tiny
import torch
from onnx_runs import outputs
from torch.nn import functional

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.protocol import DeviceError
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.export.exchange import export_project, import_project
from tvm_ondevice_train.fresh_head import UNUSED

RATE, TEMPERATURE = 0.05, 6.0
OPTIONS = {"classes": 2, "max_classes": 5, "scheme": "full", "board": "host", "seed": 1}
OPTIONS |= {"learning_rate": RATE, "temperature": TEMPERATURE}
NETWORK = tiny.network(names=("conv", "old"))


def samples(count: int, classes: int):
    generator = np.random.default_rng(2)
    x = generator.normal(size=(count, 2, 6, 6)).astype(np.float32)
    return x, generator.integers(0, classes, count)


class Network:
    """The float network in PyTorch, with a fresh head of so many classes."""

    def __init__(self, head: str, parameters, dtype=torch.float64):
        self.head = head
        self.values = {
            name: torch.tensor(value, dtype=dtype, requires_grad=True)
            for name, value in parameters.items()
            if name.endswith(("weight", "bias"))
        }

    def features(self, x):
        hidden = functional.conv2d(
            torch.tensor(x, dtype=torch.float64)[None],
            self.values["conv.weight"],
            self.values["conv.bias"],
        )
        return hidden.relu().mean((2, 3))

    def logits(self, x, classes: int):
        weight = self.values["head.weight"].flatten(1)[:classes]
        if self.head == "cosine":
            features, rows = map(functional.normalize, (self.features(x), weight))
            return TEMPERATURE * features @ rows.T
        return self.features(x) @ weight.T + self.values["head.bias"][:classes]

    def train(self, x, y, classes: int) -> float:
        loss = functional.cross_entropy(self.logits(x, classes), torch.tensor([int(y)]))
        for value in self.values.values():
            value.grad = None
        loss.backward()
        with torch.no_grad():
            for value in self.values.values():
                value -= RATE * value.grad
        return loss.item()


@pytest.fixture(scope="module", params=["auto", "cosine"])
def head(request):
    return request.param


@pytest.fixture(scope="module")
def project_of(tmp_path_factory):
    """The project of a kind of head, made once."""

    @cache
    def made(head: str):
        compiled = odt.compile(NETWORK, head=head, **OPTIONS)
        return compiled.save(tmp_path_factory.mktemp(head) / "project")

    return made


@pytest.fixture
def project(head, project_of):
    return project_of(head)


def test_steps_are_those_of_pytorch_with_as_many_classes(head, project):
    """Those not in use never have a probability, nor a gradient."""
    with Session(project) as device:
        device.reset()
        start = device.parameters()
        network = Network(head, start)
        for classes in (2, 3, 5):
            while device.classes() < classes:
                assert device.add_class() == device.classes() - 1
            for x, y in zip(*samples(8, classes), strict=True):
                expected = network.train(x, y, classes)
                assert device.train(x, y) == pytest.approx(expected, rel=1e-5, abs=1e-6)
            learned = device.parameters()
            unused = learned["head.weight"][classes:]
            assert unused.tobytes() == start["head.weight"][classes:].tobytes()
            for name, value in network.values.items():
                expected = value.detach().numpy()
                error = np.abs(learned[name] - expected).max()
                assert error <= 1e-6 * np.abs(expected).max()
            x, y = samples(1, classes)
            _, output = device.evaluate(x[0], y[0])
            assert (output[classes:] == UNUSED).all()
            expected = network.logits(x[0], classes).detach().numpy()[0]
            np.testing.assert_allclose(output[:classes], expected, rtol=2e-5, atol=1e-5)
        with pytest.raises(DeviceError, match="all classes that there is room for are in use"):
            device.add_class()


def test_what_the_head_adds_is_not_named_as_left_out_of_the_file(project):
    assert json.loads((project / "report.json").read_text())["not_trained"] == {}


def test_a_label_beyond_the_classes_in_use_is_refused(project):
    x, _ = samples(1, 2)
    with Session(project) as device:
        device.reset()
        for call in (device.train, device.evaluate):
            with pytest.raises(DeviceError, match="out of range"):
                call(x[0], 2)
        assert device.add_class() == 2
        assert np.isfinite(device.train(x[0], 2))


def test_the_classes_in_use_are_saved_and_loaded(project):
    x, _ = samples(1, 2)
    with Session(project) as device:
        device.reset()
        device.add_class()
        device.train(x[0], 2)
        device.save()
        learned = device.parameters()
        device.add_class()
        device.load()
        assert device.classes() == 3
        device.reset()
        assert device.classes() == 2
    with Session(project) as device:
        device.load()
        assert device.classes() == 3
        for name, value in device.parameters().items():
            assert value.tobytes() == learned[name].tobytes()


def test_a_class_that_was_not_saved_comes_back_with_its_samples(tmp_path):
    """Flash keeps the samples of a class that power takes from the parameters."""
    kept = {"replay": 5, "replay_in": "flash"}
    project = odt.compile(NETWORK, **OPTIONS, **kept).save(tmp_path / "project")
    x, _ = samples(1, 2)
    with Session(project) as device:
        device.save()
        while device.add_class() < 3:
            pass
        assert device.remember(x[0], 3).kept
        device.cut_power()
    with Session(project) as device:
        device.load()
        assert device.classes() == 2
        assert np.isfinite(device.rehearse())
        assert device.classes() == 4
        assert np.isfinite(device.train(x[0], 3))


def test_rows_are_imprinted_as_means_of_directions(project_of):
    x, y = samples(12, 3)
    with Session(project_of("cosine")) as device:
        device.reset()
        network = Network("cosine", device.parameters())
        with pytest.raises(DeviceError, match="out of range"):
            device.imprint(x[0], 2)
        device.add_class()
        before = device.parameters()["head.weight"]
        for sample, label in zip(x, y, strict=True):
            device.imprint(sample, label)
        learned = device.parameters()
        means = np.zeros((5, 4))
        for label in range(3):
            chosen = [network.features(each) for each in x[y == label]]
            means[label] = functional.normalize(torch.cat(chosen)).mean(0).detach().numpy()
        np.testing.assert_allclose(learned["head.weight"][:3, :, 0, 0], means[:3], atol=1e-6)
        assert learned["head.weight"][3:].tobytes() == before[3:].tobytes()
        np.testing.assert_array_equal(learned["head.counts"], np.bincount(y, minlength=5))
        directions = means[:3] / np.linalg.norm(means[:3], axis=1, keepdims=True)
        features = functional.normalize(network.features(x[0])).detach().numpy()[0]
        found = device.predict(x[0])
        np.testing.assert_allclose(found[:3], TEMPERATURE * directions @ features, atol=1e-5)
        assert np.isfinite(device.train(x[0], y[0]))


def test_what_a_project_cannot_do_is_refused(tmp_path):
    with Session(odt.compile(NETWORK, board="host").save(tmp_path / "project")) as device:
        assert device.classes() == 3
        with pytest.raises(OdtError, match="compile it with --max-classes"):
            device.add_class()
        with pytest.raises(OdtError, match="compile it with --head cosine"):
            device.imprint(np.zeros((2, 6, 6), np.float32), 0)


def test_what_was_learned_goes_from_one_device_to_another(head, project, tmp_path):
    """As .npz, and as a model that ONNX Runtime runs: classes not in use have `UNUSED` there, too.

    A model does not say how many samples a row of a cosine head is the mean of.
    """
    x, y = samples(6, 3)
    with Session(project) as device:
        device.reset()
        device.add_class()
        for pair in zip(x, y, strict=True):
            device.train(*pair)
        device.save()
        learned, predicted = device.parameters(), device.predict(x[0])
        for suffix in ("npz", "onnx"):
            export_project(project, tmp_path / f"learned.{suffix}", saved=True)
        model = (tmp_path / "learned.onnx").read_bytes()
        np.testing.assert_allclose(outputs(model, x[:1])[0], predicted, rtol=1e-5, atol=1e-5)
        for suffix in ("npz", "onnx"):
            if (head, suffix) == ("cosine", "onnx"):
                with pytest.raises(OdtError, match="the mean of; take"):
                    import_project(project, tmp_path / "learned.onnx")
                continue
            import_project(project, tmp_path / f"learned.{suffix}")
            device.load()
            assert device.classes() == 3 and device.stats()["steps"] == 0
            for name, value in device.parameters().items():
                assert value.tobytes() == learned[name].tobytes()
