"""What a device answers: values, and how many bytes each answer has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..manifest import Manifest
from .protocol import HELLO_FIELDS, STATE, STATS_FIELDS, Frame


@dataclass(frozen=True)
class Remembered:
    """What became of a sample that was to be kept: odt_remembered_t.

    kept : whether it was. held : samples that are kept now. seen : that came.
    erases : blocks of flash that were erased for them, ever; 0 where they lie in RAM.
    """

    kept: bool
    held: int
    seen: int
    erases: int


@dataclass(frozen=True)
class Saved:
    """What lies in the device's flash: odt_store_info_t.

    sequence : number of the newest image; each save adds one.
    erases : how often each of the two slots was erased.
    """

    sequence: int
    erases: tuple[int, int]


def payload_bytes(kind: Frame, manifest: Manifest, hello: Mapping[str, int]) -> int:
    """How long the payload of the answer to a request is.

    hello : odt_hello_t, by `HELLO_FIELDS`; only GET_PARAMS reads it.
    """
    output = manifest.output_bytes
    sizes = {
        Frame.HELLO: 4 * len(HELLO_FIELDS),
        Frame.STATS: 4 * len(STATS_FIELDS),
        Frame.TRAIN: 4,
        Frame.ADD_CLASS: 4,
        Frame.GET_STATE: STATE.size,
        Frame.PREDICT: output,
        Frame.EVALUATE: 4 + output,
        **dict.fromkeys((Frame.SAVE, Frame.LOAD), 12),
        Frame.REMEMBER: 16,
        Frame.REHEARSE: 4,
    }
    return hello["params_bytes"] if kind == Frame.GET_PARAMS else sizes.get(kind, 0)
