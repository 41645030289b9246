"""What runners say of candidates: right ones, wrong ones, and ones that never end."""

import pytest
from small import BOARD, convolution, with_body

from tvm_ondevice_train.tune.firmware import batch_of
from tvm_ondevice_train.tune.runners import EmulatorRunner, HostRunner

SKIPPED = "if (in0[0] != 127) return;"


def measured(kernels, runner=None, board=BOARD, **options):
    runner = runner or EmulatorRunner(seconds=2)
    return runner.measure(batch_of(convolution(board), kernels, board), **options)


@pytest.fixture(scope="module")
def task():
    return convolution()


def test_instructions_are_the_same_wherever_a_candidate_stands(task):
    first, *others = measured([task.default, task.default])
    assert first.error is None and first.cost > task.macs / 2
    assert others == [first, first]


def test_candidates_differ_and_all_are_right(task):
    kernels = [task.kernel({"outputs": outputs}) for outputs in (1, 2, 4)]
    results = measured(kernels)
    assert all(result.error is None for result in results)
    assert len({result.cost for result in results[1:]}) == 3


def test_wrong_results_have_no_cost(task):
    first, other = measured([with_body(task.default, SKIPPED)])
    assert first.error is None and other.cost is None
    assert "not those of the default" in other.error


def test_the_others_are_measured_beside_one_that_never_ends_or_faults(task):
    endless = with_body(task.default, "for (volatile int i = 0; i < 1; i += 0) {}")
    faulty = with_body(task.default, "*(volatile uint32_t *)0x60000000 = 1;")
    first, never, fault, last = measured(
        [endless, faulty, task.default], EmulatorRunner(seconds=0.7)
    )
    assert first == last and first.error is None
    assert "in time" in never.error and never.cost is None
    assert "stopped" in fault.error and fault.cost is None


def test_code_that_grows_too_much_is_not_run(task):
    large = with_body(task.default, '__asm__ volatile(".rept 300\\n nop\\n .endr");')
    assert measured([large])[1].error is None
    first, refused, last = measured([large, task.default], flash_growth=400)
    assert refused.error == "its code is too large"
    assert refused.flash_bytes >= first.flash_bytes + 600 and last == first


def test_a_program_that_does_not_build_says_why(task):
    broken = with_body(task.default, "this is no C;")
    assert all("error" in result.error for result in measured([broken]))


def test_the_host_measures_time_and_finds_wrong_results_too():
    task = convolution("host")
    wrong = with_body(task.default, SKIPPED)
    first, same, other = measured([task.default, wrong], HostRunner(repeats=3), "host")
    assert 0 < first.cost < 1e9 and 0 < same.cost < 1e9
    assert "not those of the default" in other.error
