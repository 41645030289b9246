"""The C front end of devices, built for this computer: features with the same bits."""

from __future__ import annotations

import ctypes
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from ...c_runtime import runtime_dir
from ...device.toolchain import run_tool
from ...errors import OdtError, one_line
from .front_end import FrontEnd
from .tables import as_struct, tables_of

_SOURCE = """\
#include "odt_audio.h"

void frames(const odt_audio_t *audio, const int16_t *samples, int32_t count, float *work,
            float *features);

void frames(const odt_audio_t *audio, const int16_t *samples, int32_t count, float *work,
            float *features)
{
    odt_audio_frames(audio, samples, count, work, features, odt_audio_features(audio), 1);
}
"""
_FLAGS = "-std=c99 -O2 -ffp-contract=off -shared -fPIC".split()


class Features:
    """Computes the features of recordings, for a front end whose rate is known.

    Raises OdtError where there is no C compiler.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self._tables = tables_of(front_end)
        self._struct = as_struct(self._tables)
        self._work = np.empty(front_end.fft + front_end.bands, np.float32)
        self._frames = _library().frames

    def __call__(self, samples: np.ndarray, frames: int) -> np.ndarray:
        """float32 (frames, features) of int16 samples, at least as many as `samples_of`."""
        assert samples.dtype == np.int16 and samples.flags.c_contiguous
        assert len(samples) >= self.front_end.samples_of(frames)
        features = np.empty((frames, self.front_end.features), np.float32)
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (self._work, features))
        start = samples.ctypes.data_as(ctypes.c_void_p)
        self._frames(ctypes.byref(self._struct), start, frames, *pointers)
        return features


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as scratch:
        source, library = Path(scratch, "frames.c"), Path(scratch, "frames.so")
        source.write_text(_SOURCE)
        include = f"-I{runtime_dir() / 'include'}"
        built = run_tool(["gcc", *_FLAGS, include, str(source), "-o", str(library)])
        if built.returncode:
            raise OdtError(f"data: the audio front end does not compile: {one_line(built.stderr)}")
        return ctypes.CDLL(str(library))
