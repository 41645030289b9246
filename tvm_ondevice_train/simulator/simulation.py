"""A model that learns in this process, bit for bit as on its board."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..device.protocol import DeviceError
from ..device.replies import Remembered
from ..device.snapshot import Snapshot, put_tensors, tensors_in
from ..errors import OdtError
from .feature_cache import FeatureCache
from .host_model import HostModel, host_model

if TYPE_CHECKING:
    from ..compiler import CompiledModel

MOST_CACHED_BYTES = 1 << 30  # of features and of the samples that they are of, in a simulation


@dataclass(frozen=True)
class _Facts:
    """What odt_library_facts() tells, in bytes."""

    state: int
    params: int
    learning_rate: int
    seed: int
    steps: int
    arena: int
    arena_align: int
    features: int
    evaluation_features: int
    replay: int


class Simulation:
    """A `learning.learner.Learner` that is no device: the same losses, outputs and parameters.

    The layers in front of what trains see each sample once: what they make of it, its features, is
    kept, and a step goes on from there. A sample is known by its place in memory, so rows of one
    array are found again.

    source : a compiled model, the directory of a project, or a `HostModel`.
    cache_bytes : for features; 0 keeps none.
    say : called with a line once they are too many.
    trains_again : whether samples that are trained come again; features of others are not kept.

    Threads must not share one; `HostModel` is compiled once for any number of simulations.
    """

    def __init__(
        self,
        source: CompiledModel | HostModel | str | os.PathLike[str],
        *,
        cache_bytes: int = MOST_CACHED_BYTES,
        say: Callable[[str], None] = lambda line: None,
        trains_again: bool = True,
    ):
        model = source if isinstance(source, HostModel) else host_model(source)
        self.manifest, self._say = model.manifest, say
        self._library = ctypes.CDLL(str(model.library))
        self._facts = self._read_facts()
        self._state = (ctypes.c_uint64 * -(-self._facts.state // 8))()
        self._arena = ctypes.create_string_buffer(self._facts.arena + self._facts.arena_align)
        self._loss = ctypes.c_float()
        self._output = np.zeros(self.manifest.output_shape[1:], np.float32)
        self._replay = (ctypes.c_uint64 * -(-self._facts.replay // 8))()
        train_bytes = cache_bytes if trains_again else 0
        self._train = self._cache("odt_features", model.train_prefix, train_bytes)
        self._evaluate = self._cache("odt_evaluation_features", model.evaluate_prefix, cache_bytes)
        self.reset()

    def train_encoded(self, sample: np.ndarray, target: np.ndarray) -> float:
        """One training step; the loss before its update."""
        function, given = "odt_train_step", sample.tobytes()
        if self._train is not None:
            function, given = "odt_train_features", self._features(self._train, sample)
        self._call(function, given, target.tobytes(), ctypes.byref(self._loss))
        return self._loss.value

    def evaluate_encoded(self, sample: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and outputs of one sample; nothing is trained."""
        function, given = "odt_evaluate", sample.tobytes()
        if self._evaluate is not None:
            function, given = "odt_evaluate_features", self._features(self._evaluate, sample)
        results = self._output.ctypes, ctypes.byref(self._loss)
        self._call(function, given, target.tobytes(), *results)
        return self._loss.value, self._output.copy()

    def remember_encoded(self, sample: np.ndarray, target: np.ndarray) -> Remembered:
        """Keep this sample, as the project's policy has it; in RAM, whatever its board has."""
        self._check_replay()
        given = self._state, sample.tobytes(), target.tobytes()
        kept = _checked(self._library.odt_replay_add(self._replay, *given))
        (seen,) = struct.unpack_from("<I", self._replay, 4)
        return Remembered(bool(kept), self._library.odt_replay_held(self._replay), seen, 0)

    def rehearse(self) -> float:
        """One training step on a kept sample; the loss before its update."""
        self._check_replay()
        self._call("odt_train_replay", self._replay, ctypes.byref(self._loss))
        return self._loss.value

    def classes(self) -> int | None:
        """How many classes are in use; None where no labels are learned."""
        return self.manifest.classes_in_use(self.parameters())

    def add_class(self) -> int:
        """Put one more class into use; its label. OdtError where all are."""
        if self.manifest.unused is None:
            raise OdtError("simulate: no class can be added; compile it with --max-classes")
        return _checked(self._library.odt_add_class(self._state))

    def parameters(self) -> dict[str, np.ndarray]:
        """A copy of every trained tensor, by name."""
        return tensors_in(self.snapshot().params, self.manifest.trained_parameters)

    def set_parameters(self, values: Mapping[str, np.ndarray]) -> None:
        """Replace the trained tensors named in `values`; the others stay."""
        raw = bytearray(self.snapshot().params)
        put_tensors(raw, values, self.manifest.trained_parameters)
        ctypes.memmove(self._state, bytes(raw), len(raw))

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use `learning_rate` from the next step on."""
        self._call("odt_set_learning_rate", ctypes.c_float(learning_rate))

    def set_seed(self, seed: int) -> None:
        """Restart the generator of stochastic rounding at `seed` (its low 32 bits)."""
        self._call("odt_set_seed", ctypes.c_uint32(seed & 0xFFFFFFFF))

    def snapshot(self) -> Snapshot:
        """All that training changes, but for the samples that are kept."""
        raw, facts = bytes(self._state), self._facts
        (rate,) = struct.unpack_from("<f", raw, facts.learning_rate)
        (seed,) = struct.unpack_from("<I", raw, facts.seed)
        (steps,) = struct.unpack_from("<I", raw, facts.steps)
        return Snapshot(raw[: facts.params], rate, seed, steps)

    def restore(self, snapshot: Snapshot) -> None:
        """Be as the snapshot was: the next step gives the same bits."""
        facts = self._facts
        if len(snapshot.params) != facts.params:
            raise OdtError(
                f"simulate: a snapshot of {len(snapshot.params):,} bytes; this model has "
                f"{facts.params:,}"
            )
        ctypes.memmove(self._state, snapshot.params, facts.params)
        struct.pack_into("<f", self._state, facts.learning_rate, snapshot.learning_rate)
        struct.pack_into("<I", self._state, facts.seed, snapshot.seed)
        struct.pack_into("<I", self._state, facts.steps, snapshot.steps)

    def reset(self) -> None:
        """Start anew, from the compiled parameters and learning rate, with no sample kept; features
        stay."""
        align = self._facts.arena_align
        start = ctypes.addressof(self._arena)
        arena = ctypes.c_void_p(start + -start % align)
        self._call("odt_init", arena, ctypes.c_size_t(self._facts.arena))
        if self._replay:
            _checked(self._library.odt_replay_init(self._replay, None))

    def apply(self) -> None:
        """Update with the samples of a batch that is not full, if some wait."""
        if self.manifest.batches is not None:
            self._call("odt_apply")

    def save(self) -> None:
        """There is nowhere to keep anything: `snapshot` has it."""

    def _read_facts(self) -> _Facts:
        facts = (ctypes.c_uint32 * len(_Facts.__annotations__))()
        self._library.odt_library_facts(facts)
        return _Facts(*facts)

    def _cache(self, function: str, prefix: int, most_bytes: int) -> FeatureCache | None:
        """None where a sample's features would be the sample, or none are kept."""
        if not prefix or not most_bytes:
            return None
        trains = function == "odt_features"
        size = self._facts.features if trains else self._facts.evaluation_features

        def compute(sample: np.ndarray) -> bytes:
            features = ctypes.create_string_buffer(size)
            self._call(function, sample.tobytes(), features)
            return features.raw

        return FeatureCache(compute, most_bytes // 2)

    def _features(self, cache: FeatureCache, sample: np.ndarray) -> bytes:
        was_full = cache.full
        features = cache(sample)
        if cache.full and not was_full:
            self._say("the samples are too many to keep the features of all: steps take longer")
        return features

    def _call(self, function: str, *arguments: Any) -> None:
        _checked(getattr(self._library, function)(self._state, *arguments))

    def _check_replay(self) -> None:
        if not self._replay:
            raise OdtError("simulate: the model keeps no samples; compile it with --replay N")


def _checked(status: int) -> int:
    """What a function of the library returned, where that is no error."""
    if status < 0:
        raise DeviceError(status)
    return status
