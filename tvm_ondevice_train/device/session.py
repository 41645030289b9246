"""A conversation with a training device."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from relay_passes.optimizers import HYPERPARAMETERS, MOST_SAMPLES, HyperParameter

from ..errors import OdtError
from ..manifest import TrainedParameter, read_manifest
from .build import build
from .identity import check_hello
from .launch import Running, launch
from .line import Line
from .protocol import (
    HELLO_FIELDS,
    STATE,
    STATS_FIELDS,
    Frame,
    check_reply,
    pack_frame,
    read_frame,
)
from .replies import Remembered, Saved, payload_bytes
from .samples import encode_inputs, encode_targets
from .snapshot import Snapshot, put_tensors, tensors_in

_GREETINGS, _GREETING_SECONDS = 5, 3.0  # tries on a line, where old frames may still be under way


class Session:
    """Builds and starts the project in `directory`; a context manager.

        with Session("project") as device:
            loss = device.train(x, y)

    With `port`, a serial device or socket://HOST:PORT, nothing is built and started: there a board
    runs the project's program. It goes on after `close`, and is found as it was left.

    `manifest` is the project's; a device of another model or with other sizes is refused. `timeout`
    is how many seconds one answer may take. Every method raises OdtError when the device
    refuses or dies; after `close`, `counts` holds {"train" | "predict": (regions, guest
    instructions)}, empty on the host.

    `kernels` are C functions of the program, not inlined. After `close`, `calls` holds what each
    call of one took: {"train" | "predict": [(function, guest instructions), ...]}, summed over the
    regions; a call lasts until the next one.
    """

    def __init__(
        self,
        directory: str | Path,
        timeout: float = 300.0,
        kernels: Collection[str] = (),
        port: str | None = None,
    ):
        self.manifest = read_manifest(directory)
        self.counts: dict[str, tuple[int, int]] = {}
        self.calls: dict[str, list[tuple[str, int]]] = {}
        self._timeout = timeout
        self._hello: dict[str, int] = {}
        line = None if port is None else Line(port)
        self._running: Running | Line = line or launch(directory, build(directory), kernels)
        try:
            self._hello = self._greet() if line is None else self._hello_on(line)
            check_hello(self._hello, self.manifest, directory)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def train(self, x: np.ndarray, y: ArrayLike) -> float:
        """One training step on one sample (no batch axis) and its label or target; the loss."""
        return self.train_encoded(*self._encoded(x, y))

    def train_encoded(self, sample: np.ndarray, target: np.ndarray) -> float:
        """As `train`, for what `encode_inputs` and `encode_targets` return."""
        reply = self._request(Frame.TRAIN, sample.tobytes() + target.tobytes())
        return struct.unpack("<f", reply)[0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The model's float32 outputs for one sample, without the batch axis."""
        return self.predict_encoded(encode_inputs(np.asarray(x)[None], self.manifest)[0])

    def predict_encoded(self, sample: np.ndarray) -> np.ndarray:
        """As `predict`, for what `encode_inputs` returns."""
        reply = self._request(Frame.PREDICT, sample.tobytes())
        return np.frombuffer(reply, np.float32).reshape(self._output_shape)

    def evaluate(self, x: np.ndarray, y: ArrayLike) -> tuple[float, np.ndarray]:
        """The loss of one sample and the outputs, as of `predict`; nothing is trained."""
        return self.evaluate_encoded(*self._encoded(x, y))

    def evaluate_encoded(self, sample: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        """As `evaluate`, for what `encode_inputs` and `encode_targets` return."""
        reply = self._request(Frame.EVALUATE, sample.tobytes() + target.tobytes())
        loss, *_ = struct.unpack_from("<f", reply)
        return loss, np.frombuffer(reply, np.float32, offset=4).reshape(self._output_shape)

    def classes(self) -> int | None:
        """How many classes are in use; None where no labels are learned."""
        return self.manifest.classes_in_use(self.parameters())

    def add_class(self) -> int:
        """Put one more class into use; its label. OdtError where all are."""
        if self.manifest.unused is None:
            raise OdtError("device: no class can be added; compile it with --max-classes")
        return struct.unpack("<i", self._request(Frame.ADD_CLASS))[0]

    def imprint(self, x: np.ndarray, label: ArrayLike) -> None:
        """Make one sample (no batch axis) part of its class, without a backward.

        The class's row of a cosine head becomes the mean of the features, of length 1, of all
        samples that it was imprinted from.
        """
        if self.manifest.imprinted is None:
            raise OdtError("device: no class can be imprinted; compile it with --head cosine")
        sample, target = self._encoded(x, label)
        self._request(Frame.IMPRINT, sample.tobytes() + target.tobytes())

    def parameters(self) -> dict[str, np.ndarray]:
        """A copy of every trained tensor, by name, and of what says how its classes are."""
        return tensors_in(self._request(Frame.GET_PARAMS), self._tensors)

    def set_parameters(self, values: Mapping[str, np.ndarray]) -> None:
        """Replace the trained tensors named in `values`; the others stay."""
        raw = bytearray(self._request(Frame.GET_PARAMS))
        put_tensors(raw, values, self._tensors)
        self._put_params(raw)

    def snapshot(self) -> Snapshot:
        """All that training changes."""
        return Snapshot(self._request(Frame.GET_PARAMS), *self._state())

    def learning_rate(self) -> float:
        """Of the next step."""
        return self._state()[0]

    def restore(self, snapshot: Snapshot) -> None:
        """Be as the snapshot was: the next step gives the same bits."""
        if len(snapshot.params) != self._hello["params_bytes"]:
            raise OdtError(
                f"device: a snapshot of {len(snapshot.params):,} bytes; it has "
                f"{self._hello['params_bytes']:,}"
            )
        self._put_params(snapshot.params)
        state = STATE.pack(snapshot.learning_rate, snapshot.seed, snapshot.steps)
        self._request(Frame.PUT_STATE, state)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use `learning_rate` from the next step on."""
        try:
            payload = struct.pack("<f", learning_rate)
        except OverflowError:
            raise OdtError(f"device: learning_rate {learning_rate:g} is beyond float32") from None
        self._request(Frame.SET_LR, payload)

    def set_hyperparameters(self, **values: float) -> None:
        """Use these values of the optimizer from the next step on; the others stay."""
        known = self.manifest.hyperparameters
        for name, value in values.items():
            if name != "learning_rate" and name not in known:
                held = ", ".join(["learning_rate", *known])
                raise OdtError(
                    f"device: the project's optimizer has no {name}, but {held}; compile it with "
                    f"--optimizer and --{name.replace('_', '-')}"
                )
            try:
                HYPERPARAMETERS.get(name, HyperParameter(name, 0.0, "")).check(value)
            except ValueError as error:
                raise OdtError(f"device: {error}") from None
        for name, value in values.items():
            if name == "learning_rate":
                self.set_learning_rate(value)
            else:
                self._request(Frame.PUT_PARAMS, struct.pack("<If", known[name], value))

    def optimizer_states(self) -> dict[str, np.ndarray]:
        """A copy of every float32 tensor that the optimizer keeps, by name."""
        return tensors_in(self._request(Frame.GET_PARAMS), self.manifest.optimizer_states)

    def set_batch(self, samples: int) -> None:
        """Let so many samples make a batch, of what comes and of those that wait now."""
        if self.manifest.batches is None:
            raise OdtError(
                "device: the project does not learn from batches; compile it with --batch"
            )
        if isinstance(samples, bool) or samples not in range(1, MOST_SAMPLES + 1):
            raise OdtError(
                f"device: a batch of {samples!r}; it must be an integer from 1 to {MOST_SAMPLES:,}"
            )
        self._request(Frame.PUT_PARAMS, struct.pack("<II", self.manifest.batches.size, samples))

    def apply(self) -> None:
        """Update with the mean of a batch that is not full; where no sample waits, do nothing."""
        self._request(Frame.APPLY)

    def gradient_sums(self) -> dict[str, np.ndarray]:
        """A copy of the sums of the gradients of the samples that wait, by name; float32."""
        batches = self.manifest.batches
        sums = {} if batches is None else batches.sums
        return tensors_in(self._request(Frame.GET_PARAMS), sums)

    def set_seed(self, seed: int) -> None:
        """Restart the generator of stochastic rounding at `seed` (its low 32 bits)."""
        self._request(Frame.SET_SEED, struct.pack("<I", seed & 0xFFFFFFFF))

    def stats(self) -> dict[str, int]:
        """Steps so far and the memory account in bytes; see odt_stats_t in odt_protocol.h."""
        reply = self._request(Frame.STATS)
        return dict(zip(STATS_FIELDS, struct.unpack(f"<{len(STATS_FIELDS)}I", reply), strict=True))

    def save(self) -> Saved:
        """Keep parameters, steps, learning rate and seed in the device's flash; see odt_store.h."""
        return self._saved(Frame.SAVE)

    def load(self) -> Saved:
        """Go on from what was saved last; the device refuses what is damaged or another model's."""
        return self._saved(Frame.LOAD)

    def remember(self, x: np.ndarray, y: ArrayLike) -> Remembered:
        """Have one sample and its label or target kept, as the project's policy has it."""
        return self.remember_encoded(*self._encoded(x, y))

    def remember_encoded(self, sample: np.ndarray, target: np.ndarray) -> Remembered:
        """As `remember`, for what `encode_inputs` and `encode_targets` return."""
        self._check_replay()
        reply = self._request(Frame.REMEMBER, sample.tobytes() + target.tobytes())
        kept, *counts = struct.unpack("<4I", reply)
        return Remembered(bool(kept), *counts)

    def rehearse(self) -> float:
        """One training step on a kept sample that the device draws; the loss before its update.

        DeviceError with `NO_SAMPLES` where none is kept yet.
        """
        self._check_replay()
        return struct.unpack("<f", self._request(Frame.REHEARSE))[0]

    def forget(self) -> None:
        """Erase all that was learned and kept: in flash, which is read back, and in RAM."""
        self._request(Frame.FORGET)

    def reset(self) -> None:
        """Start anew, from the compiled parameters; what is in flash stays, samples too."""
        self._request(Frame.RESET)

    def cut_power(self) -> None:
        """Stop the program at once, wherever it is. A board has a plug for that."""
        if isinstance(self._running, Line):
            raise OdtError("device: only a program that was started here can be stopped")
        self._running.kill()

    def close(self) -> None:
        """End the device and collect `counts` and `calls`. Closing twice is harmless."""
        self.counts = self._running.close() or self.counts
        self.calls = self._running.calls

    def _encoded(self, x: np.ndarray, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """One sample and its target as the device reads them."""
        sample = encode_inputs(np.asarray(x)[None], self.manifest)[0]
        return sample, encode_targets(np.asarray(y)[None], self.manifest)[0]

    def _state(self) -> tuple[float, int, int]:
        """Learning rate, seed, steps."""
        return STATE.unpack(self._request(Frame.GET_STATE))

    def _put_params(self, raw: bytes | bytearray) -> None:
        chunk = self._hello["chunk_bytes"]
        for offset in range(0, len(raw), chunk):
            payload = struct.pack("<I", offset) + raw[offset : offset + chunk]
            self._request(Frame.PUT_PARAMS, payload)

    @property
    def _tensors(self) -> Mapping[str, TrainedParameter]:
        return self.manifest.trained_parameters

    def _check_replay(self) -> None:
        if self.manifest.replay is None:
            raise OdtError("device: the project keeps no samples; compile it with --replay N")

    @property
    def _output_shape(self) -> tuple[int, ...]:
        return self.manifest.output_shape[1:]

    def _saved(self, kind: Frame) -> Saved:
        sequence, *erases = struct.unpack("<3I", self._request(kind))
        return Saved(sequence, tuple(erases))

    def _greet(self, timeout: float | None = None) -> dict[str, int]:
        reply = self._request(Frame.HELLO, timeout=timeout)
        values = struct.unpack(f"<{len(HELLO_FIELDS)}I", reply)
        return dict(zip(HELLO_FIELDS, values, strict=True))

    def _hello_on(self, line: Line) -> dict[str, int]:
        """As `_greet`, where an earlier conversation may have ended in the middle of a frame."""
        failure: Exception | None = None
        for _ in range(_GREETINGS):
            line.discard()
            try:
                hello = self._greet(min(self._timeout, _GREETING_SECONDS))
            except OdtError as error:
                failure = error
            else:
                line.discard()  # answers to earlier greetings
                return hello
        raise OdtError(
            f"{failure}; is the project's program on the board at {line.port}, and that "
            "line its own?"
        )

    def _request(self, kind: Frame, payload: bytes = b"", timeout: float | None = None) -> bytes:
        timeout = self._timeout if timeout is None else timeout
        self._running.write(pack_frame(kind, payload), timeout)
        reply = check_reply(kind, *read_frame(self._running, timeout))
        expected = payload_bytes(kind, self.manifest, self._hello)
        if len(reply) != expected:
            raise OdtError(
                f"device: it answered {kind.name} with {len(reply):,} bytes, not {expected:,}; is "
                "it the project's program?"
            )
        return reply
