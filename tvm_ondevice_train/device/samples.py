"""Samples and targets in the form that the device reads."""

from __future__ import annotations

import math

import numpy as np

from ..errors import OdtError
from ..losses import LABEL
from ..manifest import Manifest
from ..tensor_spec import TensorSpec


def encode_inputs(x: np.ndarray, manifest: Manifest, name: str = "x") -> np.ndarray:
    """Samples `x` (N, ...) in the model's dtype; real values are quantized if it is int8.

    Raises OdtError that calls the array `name` for a wrong shape or dtype, for values that are not
    finite, and for real values where the codes have no scale.
    """
    spec, shape = manifest.input, manifest.sample_shape
    if x.ndim == 0 or x.shape[1:] != shape:
        raise OdtError(
            f"data: {name} has shape {x.shape}; the model takes (N, {', '.join(map(str, shape))})"
        )
    if x.dtype == np.int8 and spec.dtype == "int8":
        return np.ascontiguousarray(x)
    if not np.issubdtype(x.dtype, np.floating) or not _takes_reals(spec):
        allowed = ["float32"] if _takes_reals(spec) else []
        allowed += ["int8"] if spec.dtype == "int8" else []
        raise OdtError(f"data: {name} is {x.dtype}; the model takes {' or '.join(allowed)}")
    x = _finite_float32(x, name)
    if spec.dtype == "float32":
        return x
    scale, zero_point = _quantization(spec)
    q = np.rint(x / scale) + zero_point
    return np.clip(q, -128, 127).astype(np.int8)


def decode_inputs(x: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Encoded samples as float32 in the real domain; OdtError where the codes have no scale."""
    spec = manifest.input
    if spec.dtype == "float32":
        return x
    if not _takes_reals(spec):
        raise OdtError("data: the model's input are int8 codes without a scale; it needs targets y")
    scale, zero_point = _quantization(spec)
    return (x.astype(np.float32) - zero_point) * scale


def encode_targets(y: np.ndarray, manifest: Manifest, name: str = "y") -> np.ndarray:
    """Targets `y` as int32 class indices (N,), or as float32 (N, elements); errors as above."""
    if manifest.target.kind == LABEL:
        assert manifest.classes is not None, "a manifest has them where the target is a label"
        return _encode_labels(y, manifest.classes, name)
    elements = math.prod(manifest.target.shape)
    if not np.issubdtype(y.dtype, np.floating):
        raise OdtError(f"data: {name} is {y.dtype}; this model learns float32 values")
    if y.ndim == 0 or math.prod(y.shape[1:]) != elements:
        raise OdtError(f"data: {name} has shape {y.shape}; the model learns {elements} values each")
    return _finite_float32(y, name).reshape(len(y), elements)


def _takes_reals(spec: TensorSpec) -> bool:
    """Whether real values can be given: as they are, or as codes of a known scale."""
    return spec.dtype == "float32" or spec.scale is not None


def _quantization(spec: TensorSpec) -> tuple[np.float32, int]:
    """Scale and zero point of codes that stand for real values."""
    assert spec.scale is not None and spec.zero_point is not None, "see _takes_reals"
    return np.float32(spec.scale), spec.zero_point


def _finite_float32(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as float32, in which a number of a wider type can become infinite."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(values).all():
        raise OdtError(f"data: {name} holds NaN or infinity in sample {_first_bad(values)}")
    return values


def _encode_labels(y: np.ndarray, classes: int, name: str) -> np.ndarray:
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise OdtError(
            f"data: {name} is {y.dtype} of shape {y.shape}; labels are integers of shape (N,)"
        )
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if wrong.size:
        raise OdtError(
            f"data: {name}[{wrong[0]}] is {y[wrong[0]]}; the model has classes 0 to {classes - 1}, "
            f"more come with compile --classes"
        )
    return np.ascontiguousarray(y, np.int32)


def _first_bad(values: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
