"""Single integer operators against another implementation, given that one's inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from instruments.interpreter import Interpreter
from shared import shared_path

KINDS = ("qconv2d", "qadd", "qmean", "qavg_pool2d")


@dataclass
class Comparison:
    """Codes compared so far, how many of them differ, by how much at most, in which operators."""

    elements: int = 0
    differing: int = 0
    largest: int = 0
    operators: dict[str, int] = field(default_factory=dict)

    def add(self, interpreter: Interpreter, reference: dict[str, np.ndarray]):
        """Run every operator on `reference` (tensor name -> codes) and count what differs."""
        for op in integer_operators(interpreter.step):
            codes = op.outputs[0].name
            ours = interpreter.run_task(op, reference)[codes].astype(np.int32)
            distance = np.abs(ours - reference[codes].reshape(ours.shape))
            wrong = int(np.count_nonzero(distance))
            self.elements += ours.size
            self.differing += wrong
            self.largest = max(self.largest, int(distance.max()))
            if wrong:
                self.operators[op.name] = self.operators.get(op.name, 0) + wrong

    def __str__(self):
        most = sorted(self.operators.items(), key=lambda item: -item[1])[:3]
        return (
            f"{self.differing} of {self.elements} codes differ, by {self.largest}; most in {most}"
        )


def integer_operators(program) -> list:
    return [op for op in program.tasks if op.kind in KINDS]


def photographs(count: int) -> np.ndarray:
    """Clothes as uint8 RGB, (count, 128, 128, 3): every so-manieth of the test split."""
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(shared_path("data/clothing_small/images_128.zip")) as archive:
        names = sorted(n for n in archive.namelist() if n.startswith("test/") and n[-4:] == ".jpg")
        chosen = names[:: len(names) // count][:count]
        images = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen]
    return np.stack([np.asarray(image) for image in images])
