"""What runners say of candidates: right ones, wrong ones, and ones that never end."""

import pytest
from small_kernels import BOARD, WINDOWS, convolution, depthwise, with_body

from tvm_ondevice_train.tune.firmware import batch_of
from tvm_ondevice_train.tune.runners import EmulatorRunner, HostRunner

SKIPPED = "if (data[0] != 127) return;"


def measured(kernels, task=None, runner=None, board=BOARD, **options):
    """The results of the reference and of each kernel."""
    runner = runner or EmulatorRunner(seconds=2)
    return runner.measure(batch_of(task or convolution(board), kernels, board), **options)


def single_decisions(task):
    """Each choice of `task` taken in every way, the others as they are by default."""
    return [{choice.name: v} for choice in task.choices for v in choice.candidates]


@pytest.fixture(scope="module")
def task():
    return convolution()


def test_right_candidates_cost_the_same_wherever_they_stand_and_wrong_ones_nothing(task):
    wrong = with_body(task.default, SKIPPED)
    first, same, wrong, last = measured([task.default, wrong, task.default])
    assert first.error is None and first.cost > task.macs / 2
    assert first == same == last
    assert wrong.cost is None and "not those of the default" in wrong.error


@pytest.mark.parametrize("board", [BOARD, pytest.param("mps3-an547", marks=pytest.mark.slow)])
def test_every_decision_is_right_of_a_convolution(board):
    """Tiles of one pixel too, whose staging is a lone store."""
    task = convolution(board)
    decisions = single_decisions(task)
    assert {"rows": 1} in decisions
    results = measured([task.kernel(one) for one in decisions], board=board)
    assert [result.error for result in results] == [None] * len(results)
    assert len({result.cost for result in results}) > 3


@pytest.mark.parametrize("board", [BOARD, pytest.param("mps3-an547", marks=pytest.mark.slow)])
def test_every_tile_is_right_of_rows_with_odd_numbers_of_columns(board):
    """Tiles in the middle of a row begin at pairs of elements."""
    tasks = depthwise(board)
    assert len(tasks) == len(WINDOWS)
    for task in tasks:
        kernels = [task.kernel(one) for one in single_decisions(task)]
        results = measured(kernels, task, board=board)
        assert [result.error for result in results] == [None] * len(results), task.name


@pytest.mark.slow
def test_the_others_are_measured_beside_one_that_never_ends_or_faults(task):
    endless = with_body(task.default, "for (volatile int i = 0; i < 1; i += 0) {}")
    faulty = with_body(task.default, "*(volatile uint32_t *)0x60000000 = 1;")
    runner = EmulatorRunner(seconds=0.5)
    first, never, fault, last = measured([endless, faulty, task.default], runner=runner)
    assert first == last and first.error is None
    assert "in time" in never.error and never.cost is None
    assert "stopped" in fault.error and fault.cost is None


def test_code_that_grows_too_much_is_not_run(task):
    large = with_body(task.default, '__asm__ volatile(".rept 300\\n nop\\n .endr");')
    first, refused, last = measured([large, task.default], flash_growth=400)
    assert refused.error == "its code is too large"
    assert refused.flash_bytes >= first.flash_bytes + 400 and last == first


def test_a_program_that_does_not_build_says_why(task):
    broken = with_body(task.default, "this is no C;")
    assert all("error" in result.error for result in measured([broken]))


def test_the_host_measures_time_and_finds_wrong_results_too():
    task = convolution("host")
    wrong = with_body(task.default, SKIPPED)
    first, same, other = measured([task.default, wrong], runner=HostRunner(repeats=3), board="host")
    assert 0 < first.cost < 1e9 and 0 < same.cost < 1e9
    assert "not those of the default" in other.error


def test_a_board_counts_the_cycles_of_its_own_core():
    """As on a real board; QEMU has such a counter for this core alone."""
    (reference,) = measured([], runner=HostRunner(repeats=1), board="virt-rv32imac")
    assert reference.error is None and reference.cost > 0
