"""Samples and targets in the form that the device reads."""

from __future__ import annotations

import math

import numpy as np

from ..errors import OdtError
from ..losses import LABEL, LABEL_MAP, PROBABILITIES
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
    """Targets `y` as int32 class indices (N,), or (N, pixels), or float32 (N, elements).

    Errors as above, and for labels of no class and probabilities that are none. Yes and no may be
    integers and truth values, too.
    """
    kind, elements = manifest.target.kind, math.prod(manifest.target.shape)
    if kind in (LABEL, LABEL_MAP):
        return _encode_labels(y, manifest, name)
    real = np.issubdtype(y.dtype, np.floating)
    if not real and not (kind == PROBABILITIES and y.dtype.kind in "iub"):
        raise OdtError(f"data: {name} is {y.dtype}; this model learns float32 values")
    if y.ndim == 0 or math.prod(y.shape[1:]) != elements:
        raise OdtError(f"data: {name} has shape {y.shape}; the model learns {elements} values each")
    values = _finite_float32(y, name).reshape(len(y), elements)
    if kind == PROBABILITIES:
        _check_probabilities(values, name)
    return values


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


def _check_probabilities(values: np.ndarray, name: str) -> None:
    wrong = np.argwhere((values < 0) | (values > 1))
    if len(wrong):
        sample, value = wrong[0][0], values[tuple(wrong[0])]
        raise OdtError(
            f"data: {name} holds {value:g} in sample {sample}; this model learns values from 0 to 1"
        )


def _encode_labels(y: np.ndarray, manifest: Manifest, name: str) -> np.ndarray:
    """One label a sample, (N,), or one a pixel, (N, pixels)."""
    target, classes = manifest.target, manifest.classes
    assert classes is not None, "a manifest has them where the target is labels"
    shape = target.shape[1:]  # () of a label
    if y.ndim == 0 or y.shape[1:] != shape or not np.issubdtype(y.dtype, np.integer):
        wanted = ", ".join(map(str, ("N", *shape))) + ("" if shape else ",")
        raise OdtError(
            f"data: {name} is {y.dtype} of shape {y.shape}; labels are integers of shape ({wanted})"
        )
    wrong = (y < 0) | (y >= classes)
    if target.ignored is not None:
        wrong &= y != target.ignored
    if wrong.any():
        index = tuple(np.argwhere(wrong)[0])
        place, ignored = ", ".join(map(str, index)), target.ignored
        more = "" if shape else ", more come with compile --classes, or --max-classes"
        more = more if ignored is None else f", and ignores {ignored}"
        raise OdtError(
            f"data: {name}[{place}] is {y[index]}; the model has classes 0 to {classes - 1}{more}"
        )
    y = np.ascontiguousarray(y, np.int32)
    return y.reshape(len(y), -1) if shape else y


def _first_bad(values: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
