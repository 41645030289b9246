"""Old samples that a device keeps to learn them again: how many, which, where, in how many bytes.

`runtime/c/include/odt_replay.h` is the manual; sizes here are those of its structures.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import OdtError

POLICIES = RING, RESERVOIR, BALANCED = "ring", "reservoir", "balanced"  # in the order of the C
MEMORIES = RAM, FLASH = "ram", "flash"
KINDS = SAMPLE, FEATURES = "sample", "features"
MOST_SLOTS = 65_534  # labels and places are 16 bits, and one of them is none
FILE_UNIT_BYTES, FILE_BLOCK_BYTES = 8, 4096  # of the file that is an emulated board's flash
STORE_UNIT_BYTES = 4  # of the flash that a board's "store" describes

_WORD = 4
_WORDS = 4  # state and three counts in odt_replay_t
_HEADER_BYTES, _MARK_BYTES = 32, 12  # of a group of slots in flash, and of a slot


@dataclass(frozen=True)
class Replay:
    """What a model keeps. OdtError, in one line, for what cannot be.

    slots : samples that are kept at most, from 1 to MOST_SLOTS.
    policy : RING, the newest; RESERVOIR, each that came with the same chance; BALANCED, as many of
        each class as can be.
    memory : RAM, or FLASH, which power that fails leaves as it is.
    of : SAMPLE, as the model reads it; FEATURES, what its layers make of it that do not train.
    """

    slots: int
    policy: str
    memory: str
    of: str = SAMPLE

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= MOST_SLOTS:
            raise OdtError(f"replay is {self.slots:,}; it must be from 1 to {MOST_SLOTS:,} samples")

    def check_classes(self, classes: int | None) -> None:
        """OdtError where this cannot be kept of a model with so many; None where it has none."""
        if self.policy != BALANCED:
            return
        if classes is None:
            raise OdtError(
                "replay_policy is balanced, but this model learns values and has no classes; use "
                "reservoir"
            )
        if self.slots < classes:
            raise OdtError(
                f"replay is {self.slots}; balanced needs a slot for each of the {classes} classes: "
                "give more, or use reservoir"
            )

    def ram_bytes(self, data_bytes: int, target_bytes: int, outputs: int) -> int:
        """Of odt_replay_t where pointers have 32 bits, and of the pointer to it.

        data_bytes, target_bytes : of what is kept of one sample, and of its target.
        outputs : of the model.
        """
        words = _WORDS + (outputs if self.policy == BALANCED else 0)
        size = _WORD * words + target_bytes + (data_bytes if self.of == FEATURES else 0)
        if self.memory == FLASH:
            labels_and_places = 2 * 2 * self.slots
            size = _whole(size, 2) + labels_and_places + 2 * _WORD  # sequence, pointer to the flash
        else:
            size = _whole(_whole(size, 2) + 2 * self.slots, _WORD)  # labels
            size += self.slots * (target_bytes + data_bytes)
        return _whole(size, _WORD) + _WORD

    def flash_bytes(self, data_bytes: int, target_bytes: int, unit: int, block: int) -> int:
        """Of flash that is programmed in units and erased in blocks of so many bytes."""
        if self.memory != FLASH:
            return 0
        header = _whole(_HEADER_BYTES, unit)
        slot = sum(_whole(part, unit) for part in (_MARK_BYTES, target_bytes, data_bytes))
        group = _whole(header + slot, block)
        groups = -(-self.slots // ((group - header) // slot))
        return (groups + 1) * group


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit
