"""Runners elsewhere: two workers of an RPC tracker, a board at a serial line."""

import os
import subprocess
import threading
import tty
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_kernels import BOARD, convolution, with_body
from tvm.rpc.tracker import Tracker

from tvm_ondevice_train.device.line import flash_with
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.tune.firmware import batch_of
from tvm_ondevice_train.tune.remote import RemoteRunner, start_worker
from tvm_ondevice_train.tune.runners import BoardRunner, EmulatorRunner


@pytest.fixture(scope="module")
def tracker():
    """A tracker with two workers of this computer."""
    tracker = Tracker("127.0.0.1", port=9190, port_end=9990, silent=True)
    with ThreadPoolExecutor(2) as pool:
        workers = list(pool.map(lambda _: start_worker("127.0.0.1", tracker.port, "m7"), range(2)))
    yield tracker
    for worker in workers:
        worker.terminate()
    tracker.terminate()


def test_two_workers_measure_what_this_computer_does(tracker):
    task = convolution()
    names = [choice.name for choice in task.choices]
    kernels = [task.kernel(dict.fromkeys(names, value)) for value in (1, 2)]
    batches = [batch_of(task, [kernel], BOARD) for kernel in kernels]
    runner = RemoteRunner("127.0.0.1", tracker.port, "m7")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(runner.measure, batches))
    assert found == [EmulatorRunner().measure(batch) for batch in batches]


def test_a_tracker_that_is_not_there_is_said_in_one_line():
    task = convolution()
    runner = RemoteRunner("127.0.0.1", 9, "m7")
    with pytest.raises(OdtError, match=r"no answer from m7 at 127\.0\.0\.1:9") as caught:
        runner.measure(batch_of(task, [task.default], BOARD))
    assert "\n" not in str(caught.value)


class Wired:
    """A board at the end of a serial line: the program built for this computer."""

    def __init__(self):
        self.ours, self.theirs = os.openpty()
        tty.setraw(self.theirs)
        self.name = os.ttyname(self.theirs)
        self.process, self.threads = None, []

    def flash(self, program):
        self.process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        to_board, from_board = self.process.stdin.fileno(), self.process.stdout.fileno()
        for ends in ((self.ours, to_board), (from_board, self.ours)):
            self.threads.append(threading.Thread(target=self._copy, args=ends))
            self.threads[-1].start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := os.read(source, 4096):
                os.write(sink, data)
        except OSError:
            pass  # the line is closed

    def close(self):
        """Ends the board, then its line: what reads there gets an error once nobody is left."""
        self.process.kill()
        self.process.wait()
        os.close(self.theirs)
        for thread in self.threads:
            thread.join()
        os.close(self.ours)


@pytest.fixture
def wired():
    board = Wired()
    yield board
    board.close()


def test_a_board_is_measured_over_its_serial_line(wired):
    task = convolution("host")
    runner = BoardRunner(wired.name, wired.flash, repeats=3)
    wrong = with_body(task.default, "if (data[0] != 127) return;")
    first, same, other = runner.measure(batch_of(task, [task.default, wrong], "host"))
    assert first.cost > 0 and same.cost > 0
    assert "not those of the default" in other.error


def test_a_silent_line_and_a_failed_flasher_are_said_in_one_line(wired, tmp_path):
    wired.process = subprocess.Popen(["true"])
    task = convolution("host")
    runner = BoardRunner(wired.name, lambda program: None, seconds=0.1)
    results = runner.measure(batch_of(task, [task.default], "host"))
    assert all(result.error.startswith("device: no answer in time") for result in results)
    with pytest.raises(OdtError, match="device: false failed"):
        flash_with("false {}", tmp_path)
