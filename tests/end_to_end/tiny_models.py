"""Models as a user makes them: exported from PyTorch, quantized by ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from shared import SHARED

import tvm_ondevice_train as odt

IMAGE = (3, 12, 12)
FEATURES = 20
CLASSES = 4


def images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy float32 images (count, 3, 12, 12) of `CLASSES` kinds, and their labels (count,)."""
    kinds = np.random.default_rng(7).normal(0, 1, (CLASSES, *IMAGE))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    noisy = kinds[labels] + generator.normal(0, 0.3, (count, *IMAGE))
    return noisy.astype(np.float32), labels


def _cnn():
    """Convolutions, dense and depthwise, batch norm, a residual add, two kinds of pool, Gemm."""
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.expand = nn.Conv2d(8, 12, 1, bias=False)
            self.norm = nn.BatchNorm2d(12)
            self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
            self.project = nn.Conv2d(12, 8, 1)

        def forward(self, x):
            hidden = self.norm(self.expand(x)).relu()
            return x + self.project(self.depthwise(hidden).relu())

    stem = [nn.Conv2d(3, 8, 3, stride=1, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)]
    return nn.Sequential(*stem, Residual(), *tail)


def _activated_cnn():
    """GELU in both forms, and PReLU with slopes for the channels and with one."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.PReLU(8)),
        *(nn.Conv2d(8, 8, 1), nn.GELU(approximate="tanh")),
        *(nn.Conv2d(8, 8, 1), nn.PReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def _autoencoder():
    from torch import nn

    layers = [nn.Linear(FEATURES, 12), nn.Tanh(), nn.Linear(12, 6), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(6, FEATURES))


KINDS = {
    "cnn": (_cnn, IMAGE),
    "cnn_activated": (_activated_cnn, IMAGE),
    "autoencoder": (_autoencoder, (FEATURES,)),
}


def _export(network, shape, path: Path) -> Path:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"dynamo": False, "opset_version": 17, "input_names": ["input"]}
        torch.onnx.export(network.eval(), (torch.randn(1, *shape),), str(path), **options)
    return path


def export_float(kind: str, directory: Path) -> Path:
    """`kind`.onnx in `directory`, one of `KINDS`, float32, untrained, always the same."""
    import torch

    torch.manual_seed(3)
    network, shape = KINDS[kind]
    return _export(network(), shape, directory / f"{kind}.onnx")


def export_int8(directory: Path, kind: str = "cnn") -> Path:
    """A CNN as int8 QDQ with one scale for each output channel."""
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    class Samples(quantization.CalibrationDataReader):
        rows = iter(images(16)[0])

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {"input": row[None]}

    model, path = export_float(kind, directory), directory / f"{kind}_int8.onnx"
    prepared = directory / "prepared.onnx"
    logging.disable(logging.WARNING)
    try:
        shape_inference.quant_pre_process(str(model), str(prepared))
        quantization.quantize_static(
            str(prepared),
            str(path),
            Samples(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
    return path


@cache
def model(kind: str) -> odt.Model:
    """The loaded model: of `KINDS`, with "_int8" behind it int8, or a file of shared/models."""
    import tempfile

    if "/" in kind:
        return odt.load(SHARED / "models" / kind)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        name = kind.removesuffix("_int8")
        is_float = name == kind
        return odt.load(export_float(name, directory) if is_float else export_int8(directory, name))


@cache
def compiled(kind: str, scheme: str, **options) -> odt.CompiledModel:
    """`model(kind)` compiled, once for all tests of a process; options as `compile` takes them."""
    loss = "mse" if kind == "autoencoder" else "cross_entropy"
    return odt.compile(model(kind), scheme=scheme, loss=loss, **options)
