"""A compiled model on the host beside its file's own reference."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from relay_passes.graph import bindings_of, op_name

from ..compiler import CompiledModel
from ..data import Reading, Source, load_inputs
from ..device.session import Session
from ..errors import OdtError
from ..losses import Loss
from ..manifest import Manifest
from ..model import Model
from ..project import generate_project
from ..training_graph import before_loss
from .references import Reference
from .report import Agreement

RANDOM_SAMPLES, GIVEN_SAMPLES = 16, 100  # of the given ones the first
_FLOAT_BOUND = 1e-3  # of the largest output: sums in another order
_CODES_BOUND = 0.05  # the same where there are codes: each of many layers rounds
_STEPS_BOUND = 2  # codes of the output


def agreements(
    compiled: CompiledModel,
    reference: Reference,
    loss: Loss,
    data: Source | None = None,
    reading: Reading | None = None,
) -> tuple[Agreement, ...]:
    """On random samples, and on those of `data`, which `load_data` takes.

    `compiled` was made with `loss`, and has the file's own layers.

    Raises OdtError for data that the model does not take, and where the C cannot be run here.
    """
    manifest = compiled.manifest
    sets = {"random": _random_samples(manifest)}
    is_left = before_loss(compiled.model, loss) is not compiled.model
    activation = _ACTIVATIONS[loss.activation if is_left else None]
    if data is not None:
        sets["given"] = load_inputs(data, manifest, reading, most=GIVEN_SAMPLES)
    with _on_the_host(compiled) as device:
        return tuple(
            _agreement(n, x, device, compiled, reference, activation) for n, x in sets.items()
        )


@contextmanager
def _on_the_host(compiled: CompiledModel) -> Iterator[Session]:
    """A session with the very C of `compiled`, built for this computer."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch, "project")
        files, manifest = compiled.files, compiled.manifest
        generate_project(files, manifest, "host", "host", project, initial=compiled.initial)
        with Session(project) as device:
            yield device


def _random_samples(manifest: Manifest) -> np.ndarray:
    """(N, ...) as the device reads them: every code as likely, or normal with spread 1."""
    generator = np.random.default_rng(0)
    shape = (RANDOM_SAMPLES, *manifest.sample_shape)
    if manifest.input.dtype == "int8":
        return generator.integers(-128, 128, shape, dtype=np.int8)
    return generator.normal(size=shape).astype(np.float32)


def _agreement(
    name: str,
    samples: np.ndarray,
    device: Session,
    compiled: CompiledModel,
    reference: Reference,
    activation: Callable[[np.ndarray], np.ndarray],
) -> Agreement:
    spec = compiled.model.input
    outputs = np.stack([device.predict_encoded(x) for x in samples]).astype(np.float64)
    ours = activation(outputs.reshape(len(outputs), *compiled.model.output_shape[1:]))
    ours = ours.reshape(len(ours), -1)
    theirs = [reference.run(reference.sample_of(x[None], spec)).reshape(-1) for x in samples]
    return compared(name, ours, np.stack(theirs), reference.step, has_codes(compiled.model))


def compared(
    name: str, ours: np.ndarray, theirs: np.ndarray, step: float | None, codes: bool
) -> Agreement:
    """Of outputs (N, elements); `step` and `codes`: of the output, and whether any layer has some.

    What rounding does is rare and small, a wrong operator shows in every sample: so a typical
    difference is judged, not the largest.
    """
    if ours.shape != theirs.shape:
        raise OdtError(f"the C gives {ours.shape[1]} outputs, the file {theirs.shape[1]}")
    apart = np.abs(ours - theirs)
    scale = np.abs(theirs).max(initial=0.0)
    bound = max((_CODES_BOUND if codes else _FLOAT_BOUND) * scale, _STEPS_BOUND * (step or 0.0))
    return Agreement(
        samples=name,
        count=len(ours),
        largest=float(apart.max()),
        largest_codes=None if step is None else float(apart.max() / step),
        same_argmax=int(np.sum(ours.argmax(axis=1) == theirs.argmax(axis=1))),
        typical=float(np.sqrt(np.mean(apart**2, axis=0)).max()),
        bound=float(bound),
    )


def has_codes(model: Model) -> bool:
    """Whether any part of it is int8."""
    kinds = ("relax.quantize", "relax.dequantize")
    return any(op_name(binding.value) in kinds for binding in bindings_of(model.module["main"]))


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Over the classes of (N, classes, ...)."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


# by what a loss brings, and the file has at its end while the C has it not; None for neither
_ACTIVATIONS: dict[str | None, Callable[[np.ndarray], np.ndarray]] = {
    None: lambda outputs: outputs,
    "relax.nn.softmax": _softmax,
    "relax.sigmoid": lambda logits: 1 / (1 + np.exp(-logits)),
}
