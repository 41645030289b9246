"""Processes of a sweep: none is left when the one that began them was killed."""

import subprocess
import sys

BEGINS = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from tvm_ondevice_train.simulator.worker import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_a_worker_ends_with_the_process_that_began_it(tmp_path):
    script = tmp_path / "begins.py"
    script.write_text(BEGINS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as begun:
        assert begun.stdout.readline()  # the worker is there
        begun.kill()
        begun.communicate(timeout=60)  # until no process has the pipe any more
