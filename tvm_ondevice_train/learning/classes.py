"""Classes that a learner has room for, and those that it uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..data import Data
from ..losses import LABEL
from .learner import Learner


def use_classes(
    learner: Learner, data: Data, say: Callable[[str], None] = lambda line: None
) -> None:
    """Put every class into use that a label of `data` names, and those below it; `say` which.

    Labels for which there is no room are refused where they are encoded.
    """
    manifest = learner.manifest
    if manifest.unused is None or manifest.target.kind != LABEL:
        return
    labels = [y for y in (data.y, data.y_val, data.y_test) if y is not None and len(y)]
    used, wanted = learner.classes(), 1 + max(int(np.max(y)) for y in labels)
    assert used is not None and manifest.classes is not None, "see Manifest.unused"
    if wanted <= used:
        return
    for _ in range(used, wanted):
        learner.add_class()
    new = ", ".join(map(str, range(used, wanted)))
    which = f"class {new} is" if wanted == used + 1 else f"classes {new} are"
    room = manifest.classes - wanted
    say(f"{which} put into use; {f'{room} more have' if room != 1 else '1 more has'} room")
