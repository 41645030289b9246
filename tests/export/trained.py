"""Tiny projects that have learned something, on this computer."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tiny_models import images, model

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.manifest import Manifest
from tvm_ondevice_train.scheme.update_scheme import ALL, Channels, UpdateScheme

STEPS, SAMPLES = 400, 100
_SCRATCH = TemporaryDirectory()
# columns and rows that are not side by side: their channels are renumbered
SPARSE = UpdateScheme(
    {
        "Conv_29_quantized": Channels(indices=(1, 6)),
        "Conv_30_quantized": ALL,
        "3.depthwise.weight_quantized": Channels(indices=(2, 9, 10)),
        "3.project.weight_quantized": Channels(indices=(1, 4, 9)),
        "3.project.bias_quantized": ALL,
    },
    head=True,
)
# name -> (tiny model, scheme, classes)
CASES = {
    "float": ("cnn", "full", None),
    "float, new head": ("cnn", "last:2", 5),
    "values": ("autoencoder", "full", None),
    "int8": ("cnn_int8", "full", None),
    "int8, new head": ("cnn_int8", "last:2", 5),
    "int8, some channels": ("cnn_int8", SPARSE, 5),
}


@dataclass(frozen=True)
class Trained:
    """A project after `STEPS` steps, and what its device then answers to `samples`."""

    project: Path
    samples: np.ndarray
    predictions: np.ndarray


def data(kind: str, count: int) -> dict[str, np.ndarray]:
    if kind != "autoencoder":
        return dict(zip("xy", images(count), strict=True))
    return {"x": np.random.default_rng(0).normal(0, 1, (count, 20)).astype(np.float32)}


@cache
def trained(case: str) -> Trained:
    """The project of a case, trained once for all tests of a process; tests leave it as it is."""
    kind, scheme, classes = CASES[case]
    options = {"classes": classes, "learning_rate": 0.1, "board": "host"}
    loss = "mse" if case == "values" else "cross_entropy"
    project = odt.compile(model(kind), scheme=scheme, loss=loss, **options)
    project = project.save(Path(_SCRATCH.name, case, "project"))
    np.savez(project.parent / "data.npz", **data(kind, STEPS))
    odt.run_project(project, project.parent / "data.npz")
    samples = data(kind, SAMPLES)["x"]
    with Session(project) as device:
        device.set_parameters(_stored(device.manifest, project))
        predictions = np.stack([device.predict(sample).reshape(-1) for sample in samples])
    return Trained(project, samples, predictions)


def _stored(manifest: Manifest, project: Path) -> dict[str, np.ndarray]:
    """What training left, cut by hand."""
    with np.load(project / "learned.npz") as learned:
        whole = dict(learned)
    stored = {}
    for name, entry in manifest.trained_parameters.items():
        stored[name] = whole[name]
        for axis, chosen in enumerate((entry.rows, entry.columns)):
            if chosen is not None:
                stored[name] = np.take(stored[name], chosen, axis)
    return stored


def copied(case: str, directory: Path) -> Path:
    """The project of a case in a place of the test's own, without what was built."""
    return Path(
        shutil.copytree(
            trained(case).project,
            directory / "project",
            ignore=shutil.ignore_patterns("build", "runtime"),
        )
    )
