"""What was measured, and when: the head of every benchmark's JSON."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import tvm_ondevice_train as odt


def provenance() -> dict[str, str]:
    """The commit of the code that was measured, which need not be this file's, and the date."""
    place = Path(odt.__file__).parent
    command = ["git", "-C", str(place), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {"commit": commit, "date": date.today().isoformat()}
