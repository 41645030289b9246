"""The tables of a front end as the C runtime reads them: in memory, and as a header."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .front_end import MAGNITUDE, FrontEnd

_A_LINE = 8  # numbers of a table in the header
_NUMBERS = ("window", "hop", "fft", "bands", "coefficients", "magnitude")
_ARRAYS = ("shape", "turns", "first", "count", "weights", "cosines")


@dataclass(frozen=True)
class Tables:
    """The fields of ``odt_audio_t`` (odt_audio.h), by their names and in their order."""

    numbers: Mapping[str, int]
    offset: float
    arrays: Mapping[str, np.ndarray]


class AudioStruct(ctypes.Structure):
    """``odt_audio_t``."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in _NUMBERS),
        ("offset", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    )


def tables_of(front_end: FrontEnd) -> Tables:
    """Those of a front end whose rate is known."""
    first, count, weights = _packed(front_end.filters())
    cosines = front_end.cosines()
    values = (
        front_end.window_samples,
        front_end.hop_samples,
        front_end.fft,
        front_end.bands,
        len(cosines),
        int(front_end.spectrum == MAGNITUDE),
    )
    arrays = (front_end.shape(), front_end.turns(), first, count, weights, cosines)
    return Tables(
        dict(zip(_NUMBERS, values, strict=True)),
        front_end.offset,
        {n: array.reshape(-1) for n, array in zip(_ARRAYS, arrays, strict=True)},
    )


def as_struct(tables: Tables) -> AudioStruct:
    """It points into the arrays of `tables`, which must be kept."""
    pointers = (array.ctypes.data if array.size else None for array in tables.arrays.values())
    return AudioStruct(*tables.numbers.values(), tables.offset, *pointers)


def as_header(front_end: FrontEnd) -> str:
    """``odt_audio_front_end.h``: the tables, and what firmware needs to know of them."""
    tables = tables_of(front_end)
    arrays = "\n".join(_array(name, array) for name, array in tables.arrays.items() if array.size)
    fields = [f".{name} = {value}" for name, value in tables.numbers.items()]
    fields.append(f".offset = {_text(np.float32(tables.offset))}")
    fields += [
        f".{name} = {f'odt_audio_{name}' if array.size else 0}"
        for name, array in tables.arrays.items()
    ]
    body = ",\n".join(f"    {field}" for field in fields)
    samples = front_end.window_samples
    return f"""\
/*
 * A front end for sound, made by `ondevice-train audio-frontend`:
 *   {front_end}
 * With odt_audio.h; odt_audio_frames(&odt_audio_front_end, ...) computes what the host trains on.
 */
#ifndef ODT_AUDIO_FRONT_END_H
#define ODT_AUDIO_FRONT_END_H

#include "odt_audio.h"

#define ODT_AUDIO_RATE {front_end.rate}u
#define ODT_AUDIO_FEATURES {front_end.features}u
#define ODT_AUDIO_WORK {front_end.fft + front_end.bands}u
#define ODT_AUDIO_SAMPLES(frames) ({samples}u + ((frames) - 1u) * {front_end.hop_samples}u)

{arrays}
static const odt_audio_t odt_audio_front_end = {{
{body},
}};

#endif
"""


def _packed(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First bin and count of each band, uint16 (bands,), and the weights between, in one row."""
    ends = [(row[0], row[-1] + 1) for row in map(np.flatnonzero, filters)]
    weights = [row[a:b] for row, (a, b) in zip(filters, ends, strict=True)]
    first, last = np.array(ends).T
    return first.astype(np.uint16), (last - first).astype(np.uint16), np.concatenate(weights)


def _array(name: str, array: np.ndarray) -> str:
    kind = "float" if array.dtype == np.float32 else "uint16_t"
    texts = [_text(value) for value in array]
    lines = (", ".join(texts[i : i + _A_LINE]) for i in range(0, len(texts), _A_LINE))
    body = ",\n".join(f"    {line}" for line in lines)
    return f"static const {kind} odt_audio_{name}[{array.size}] = {{\n{body},\n}};\n"


def _text(value: np.generic) -> str:
    """A number in C that is read as the same bits."""
    if not isinstance(value, np.float32):
        return str(value)
    text = f"{value:.9g}"
    return f"{text}f" if set(text) & set(".e") else f"{text}.0f"
