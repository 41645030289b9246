"""replay/: odt_replay on a simulated flash or in RAM, as a program that cuts and for ctypes."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from tvm_ondevice_train.project import runtime_dir

_HERE = Path(__file__).parent
_FLAGS = (
    "-std=c99 -g -O1 -Wall -Wextra -Wpedantic -Wundef -Wconversion -Wmissing-prototypes -Werror "
    "-fno-sanitize-recover=all"
).split()
POLICIES = {"ring": 0, "reservoir": 1, "balanced": 2}
CLASSES = 5
NO_SAMPLES, FLASH = -40, -32


def build(path: Path, sources: list[str], slots: int, policy: str, in_flash: bool, *flags) -> Path:
    """Compile the files `sources` of replay/, the ring and the store into `path`."""
    macros = {"SLOTS": f"{slots}u", "POLICY": POLICIES[policy], "IN_FLASH": int(in_flash)}
    defined = [f"-DODT_REPLAY_{name}={value}" for name, value in macros.items()]
    files = [str(_HERE / "replay" / name) for name in ("memory.c", *sources)]
    files.append(str(_HERE / "store" / "nor.c"))
    names = ("crc", "replay", "ring_flash", "ring_ram", "store")
    files += [str(runtime_dir() / "src" / f"odt_{name}.c") for name in names]
    folders = (_HERE / "replay", _HERE / "store", runtime_dir() / "include")
    include = [f"-I{folder}" for folder in folders]
    command = ["gcc", *_FLAGS, *flags, *defined, *include, *files, "-o", str(path)]
    subprocess.run(command, check=True)
    return path


class Memory:
    """A device that keeps samples, each of which is a number from 1 on."""

    def __init__(self, library: Path, slots: int, seed: int = 0, unit: int = 8, block: int = 512):
        self._library = ctypes.CDLL(str(library))
        for name in ("memory_read", "memory_train"):
            getattr(self._library, name).restype = ctypes.c_int64
        self._slots = slots
        self._memory = ctypes.create_string_buffer(1 << 17)  # more than a memory_t
        self._library.memory_init(self._memory, unit, block, seed)

    def add(self, number: int, label: int = 0) -> int:
        return self._library.memory_add(self._memory, number, label)

    def restart(self) -> int:
        return self._library.memory_restart(self._memory)

    def damage(self, at: int) -> None:
        """Change a byte of the flash, with which a memory_t begins; a second time, back."""
        self._memory[at] = bytes([self._memory[at][0] ^ 0x10])

    def train(self) -> int:
        """The number of the sample that was drawn and trained."""
        return self._library.memory_train(self._memory)

    def held(self) -> list[int]:
        """The number in each slot, 0 where it is empty."""
        return [self._library.memory_read(self._memory, slot) for slot in range(self._slots)]
