"""Two runs at once in a directory would mix their results; the second is refused."""

import subprocess
import sys

import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run.alone import alone


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path):
    refused = pytest.raises(OdtError, match=f"another run goes on in {tmp_path}; wait for its end")
    with alone(tmp_path), refused, alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_process_that_is_killed_is_in_nobodys_way(tmp_path):
    script = (
        "import sys; from pathlib import Path; from tvm_ondevice_train.run.alone import alone\n"
    )
    script += "with alone(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as first:
        first.stdout.readline()
        with pytest.raises(OdtError, match="another run goes on"), alone(tmp_path):
            pass
        first.kill()
    with alone(tmp_path):
        pass
