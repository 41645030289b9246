"""Recordings in .wav files, as the model takes them: features of frames, or the samples."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import OdtError, one_line
from .audio.front_end import FLAG, FrontEnd
from .audio.library import Features
from .axes import Axes

_FULL = 32768.0  # what a sample of 16 bits is divided by
_STREAMED = 0x7FFF0000  # bytes; so many or more says a program that wrote to a pipe


class RecordingReader:
    """Reads recordings as float32 of the model's `shape`.

    Where the shape has two axes longer than 1, they are the frames and features of `front_end`, in
    any order; where it has one, it is the samples themselves, from -1 to 1. What is longer is cut
    behind, what is shorter is followed by silence. Without `front_end`, it is log-mel in the rate
    of the file `first`.
    """

    labels_in = "labels.csv"

    def __init__(self, shape: tuple[int, ...], front_end: FrontEnd | None, first: Path) -> None:
        self.shape = shape
        self._cut = self._filled = 0
        long = [axis for axis, length in enumerate(shape) if length > 1]
        if len(long) == 1 and front_end is None:
            self._features, self._rate = None, _read(first)[0]
            self._samples, time = shape[long[0]], long[0]
            self.described = f"recordings, {self._samples:,} samples at {self._rate:,} Hz each"
        else:
            front_end = (front_end or FrontEnd()).at(_read(first)[0])
            assert front_end.rate is not None
            self._features, self._rate = Features(front_end), front_end.rate
            time = _time_axis(shape, long, front_end)
            self._frames, self._transposed = shape[time], time != long[0]
            self._samples = front_end.samples_of(self._frames)
            self.described = f"recordings, {self._frames} frames of {FLAG} {front_end}"
        self.axes = Axes((time,), image=False)

    def samples(self, path: Path) -> Iterator[tuple[np.ndarray, None]]:
        """The recording in `path`, which says no class itself."""
        rate, sound = _read(path)
        if rate != self._rate:
            raise OdtError(
                f"data: {path} has {rate:,} samples a second, and {self._rate:,} are expected: "
                f"resample it, or give {FLAG} another rate"
            )
        if not len(sound):
            raise OdtError(f"data: {path} is empty")
        self._cut += len(sound) > self._samples
        self._filled += len(sound) < self._samples
        sound = np.pad(sound[: self._samples], (0, max(0, self._samples - len(sound))))
        if self._features is None:
            values = sound.astype(np.float32) / np.float32(_FULL)
        else:
            values = self._features(sound, self._frames)
            values = values.T if self._transposed else values
        yield values.reshape(self.shape), None

    def notes(self) -> list[str]:
        seconds = self._samples / self._rate
        changed = {"cut": self._cut, "filled with silence": self._filled}
        return [f"{n:,} recordings were {how} to {seconds:g} s" for how, n in changed.items() if n]


def _time_axis(shape: tuple[int, ...], long: list[int], front_end: FrontEnd) -> int:
    """Which axis of a sample are frames: the other one has as many entries as a frame features."""
    places = [axis for axis in long if shape[axis] == front_end.features]
    if len(long) != 2 or not places:
        raise OdtError(
            f"data: the model takes {shape}, and a frame has {front_end.features} features: give "
            f"{FLAG} as many bands, or coefficients of mfcc, as the model takes"
        )
    return long[0] if places[-1] == long[1] else long[1]


def _read(path: Path) -> tuple[int, np.ndarray]:
    """Samples a second, and int16 samples: the mean of all channels."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            frames = file.getnframes()
            content = file.readframes(frames)
            if not rate:
                raise wave.Error("it has no samples a second")
            if len(content) < frames * channels * width < _STREAMED:
                raise EOFError
    except (wave.Error, EOFError, RuntimeError) as error:
        reason = one_line(error) if str(error) else "a part of it is missing"
        raise OdtError(f"data: {path} is no readable .wav file: {reason}") from None
    content = content[: len(content) // (channels * width) * channels * width]
    sound = _as_int16(content, width).reshape(-1, channels)
    if channels > 1:
        sound = np.rint(sound.mean(axis=1)).astype(np.int16)
    return rate, np.ascontiguousarray(sound.reshape(-1))


def _as_int16(content: bytes, width: int) -> np.ndarray:
    """The upper 16 bits of each sample; of 8 bits they are unsigned."""
    if width == 1:
        return (np.frombuffer(content, np.uint8).astype(np.int16) - 128) << 8
    pairs = np.frombuffer(content, np.uint8).reshape(-1, width)[:, -2:]
    return np.ascontiguousarray(pairs).view("<i2").reshape(-1)
