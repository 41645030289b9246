"""Manifests of models that take samples of a shape."""

from __future__ import annotations

from tvm_ondevice_train.manifest import Manifest, Target
from tvm_ondevice_train.tensor_spec import TensorSpec

CODES = (2 / 255, 0)  # scale and zero point: 0 to 255 are -1.004 to 0.996


def taking(*shape: int, codes=None, layout: str | None = None, classes: int | None = 3) -> Manifest:
    """Of a model for float32 of `shape`, or for int8 codes with scale and zero point.

    classes : None is a model that learns its input.
    """
    dtype, quantization = ("int8", codes) if codes else ("float32", (None, None))
    output = shape if classes is None else (classes,)
    return Manifest(
        model="model",
        model_hash=0,
        scheme="full",
        board="host",
        loss="mse" if classes is None else "cross_entropy",
        classes=classes,
        input=TensorSpec((1, *shape), dtype, *quantization),
        output_shape=(1, *output),
        target=Target("values", (1, *shape)) if classes is None else Target("label", (1,)),
        trained_parameters={},
        stack_bytes=8192,
        input_layout=layout,
    )
