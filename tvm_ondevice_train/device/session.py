"""A conversation with a training device."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from ..errors import OdtError
from .build import build, load_report
from .launch import Running, launch
from .protocol import (
    CRC,
    HEADER,
    HELLO_FIELDS,
    MAGIC,
    STATS_FIELDS,
    VERSION,
    Frame,
    check_frame,
    check_reply,
    pack_frame,
)
from .samples import encode_inputs, encode_targets


class Session:
    """Builds and starts the project in `directory`; a context manager.

        with Session("project") as device:
            loss = device.train(x, y)

    `timeout` is how many seconds one answer may take. Every method raises OdtError when the device
    refuses or dies; after `close`, `counts` holds {"train" | "predict": (regions, guest
    instructions)}, empty on the host.

    `kernels` are C functions of the program, not inlined. After `close`, `calls` holds what each
    call of one took: {"train" | "predict": [(function, guest instructions), ...]}, summed over the
    regions; a call lasts until the next one.
    """

    def __init__(
        self, directory: str | Path, timeout: float = 300.0, kernels: Collection[str] = ()
    ):
        self.report = load_report(directory)
        self.counts: dict[str, tuple[int, int]] = {}
        self.calls: dict[str, list[tuple[str, int]]] = {}
        self._timeout = timeout
        self._running: Running = launch(directory, build(directory), kernels)
        try:
            self._hello = self._greet()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def train(self, x: np.ndarray, y) -> float:
        """One training step on one sample (no batch axis) and its label or target; the loss."""
        sample = encode_inputs(np.asarray(x)[None], self.report)
        target = encode_targets(np.asarray(y)[None], self.report)
        return self.train_encoded(sample[0], target[0])

    def train_encoded(self, sample: np.ndarray, target: np.ndarray) -> float:
        """As `train`, for what `encode_inputs` and `encode_targets` return."""
        reply = self._request(Frame.TRAIN, sample.tobytes() + target.tobytes())
        return struct.unpack("<f", reply)[0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The model's float32 outputs for one sample, without the batch axis."""
        return self.predict_encoded(encode_inputs(np.asarray(x)[None], self.report)[0])

    def predict_encoded(self, sample: np.ndarray) -> np.ndarray:
        """As `predict`, for what `encode_inputs` returns."""
        reply = self._request(Frame.PREDICT, sample.tobytes())
        return np.frombuffer(reply, np.float32).reshape(self.report["output"]["shape"][1:])

    def parameters(self) -> dict[str, np.ndarray]:
        """A copy of every trained tensor, by name."""
        raw = self._request(Frame.GET_PARAMS)
        return {name: self._view(raw, name).copy() for name in self._tensors}

    def set_parameters(self, values: Mapping[str, np.ndarray]) -> None:
        """Replace the trained tensors named in `values`; the others stay."""
        raw = bytearray(self._request(Frame.GET_PARAMS))
        for name, value in values.items():
            if name not in self._tensors:
                known = ", ".join(self._tensors)
                raise OdtError(f"device: no trained parameter {name!r}; there are {known}")
            view, value = self._view(raw, name), np.asarray(value)
            if value.shape != view.shape or value.dtype != view.dtype:
                raise OdtError(
                    f"device: {name} is {view.dtype} of shape {view.shape}, "
                    f"not {value.dtype} of shape {value.shape}"
                )
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise OdtError(f"device: the new {name} holds NaN or infinity")
            view[...] = value
        chunk = self._hello["chunk_bytes"]
        for offset in range(0, len(raw), chunk):
            payload = struct.pack("<I", offset) + raw[offset : offset + chunk]
            self._request(Frame.PUT_PARAMS, payload)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use `learning_rate` from the next step on."""
        self._request(Frame.SET_LR, struct.pack("<f", learning_rate))

    def set_seed(self, seed: int) -> None:
        """Restart the generator of stochastic rounding at `seed` (its low 32 bits)."""
        self._request(Frame.SET_SEED, struct.pack("<I", seed & 0xFFFFFFFF))

    def stats(self) -> dict[str, int]:
        """Steps so far and the memory account in bytes; see odt_stats_t in odt_protocol.h."""
        reply = self._request(Frame.STATS)
        return dict(zip(STATS_FIELDS, struct.unpack(f"<{len(STATS_FIELDS)}I", reply), strict=True))

    def close(self) -> None:
        """End the device and collect `counts` and `calls`. Closing twice is harmless."""
        self.counts = self._running.close() or self.counts
        self.calls = self._running.calls

    @property
    def _tensors(self) -> dict[str, dict]:
        return self.report["trained_parameters"]

    def _view(self, raw: bytes | bytearray, name: str) -> np.ndarray:
        spec = self._tensors[name]
        count = int(np.prod(spec["shape"]))
        view = np.frombuffer(raw, spec["dtype"], count, spec["offset"])
        return view.reshape(spec["shape"])

    def _greet(self) -> dict[str, int]:
        reply = self._request(Frame.HELLO)
        values = struct.unpack(f"<{len(HELLO_FIELDS)}I", reply)
        hello = dict(zip(HELLO_FIELDS, values, strict=True))
        if hello["version"] != VERSION:
            raise OdtError(
                f"device: it speaks protocol version {hello['version']}, this package {VERSION}; "
                f"compile the project again"
            )
        return hello

    def _request(self, kind: Frame, payload: bytes = b"") -> bytes:
        self._running.write(pack_frame(kind, payload), self._timeout)
        header = self._running.read(HEADER.size, self._timeout)
        magic, _, length = HEADER.unpack(header)
        if header.startswith(b"odt: "):  # the last words of a device on a serial line
            words = header[5:].decode() + self._running.read_line(self._timeout)
            raise OdtError(f"device: the program stopped: {words}")
        if magic != MAGIC:
            raise OdtError("device: the reply is not a frame")
        body = self._running.read(length, self._timeout)
        reply_kind = check_frame(header, body, self._running.read(CRC.size, self._timeout))
        return check_reply(kind, reply_kind, body)
