"""What report.json holds, and what is said of a model that does not fit."""

import json
import re

import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.cli import display
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.report import with_zephyr

KEYS = {
    "model",
    "scheme",
    "board",
    "peak_sram_bytes",
    "arena_bytes",
    "arena_lower_bound_bytes",
    "trainable_state_bytes",
    "flash_bytes",
    "flash_holds_code",
    "plain_loops",
    "macs_forward",
    "macs_backward",
    "trained_parameters",
    "ops",
}


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "int8"])
def compiled(request):
    return odt.compile(tiny.network(request.param), scheme="full", board="mps2-an500")


def test_keys_and_the_sum_of_the_static_account(compiled):
    report = json.loads(json.dumps(compiled.report))
    assert report == compiled.report
    assert set(report) >= KEYS
    parts = ("arena_bytes", "trainable_state_bytes", "static_bytes", "stack_bytes")
    assert report["peak_sram_bytes"] == sum(report[part] for part in parts)
    assert 0 < report["arena_lower_bound_bytes"] <= report["arena_bytes"]
    assert report["macs_forward"] > 0 and report["macs_backward"] > 0
    source = compiled.planned
    values = [slot.value for slot in source.slots]
    assert report["trainable_state_bytes"] >= sum(value.nbytes for value in values)


def test_trained_parameters_have_shape_and_dtype(compiled):
    assert compiled.report["trained_parameters"] == {
        slot.name: {"shape": list(slot.value.shape), "dtype": str(slot.value.dtype)}
        for slot in compiled.planned.slots
    }


def test_ops_carry_their_offsets_and_macs(compiled):
    ops, planned = compiled.report["ops"], compiled.planned.train
    assert len(ops) == len(planned.step.tasks)
    assert all(set(op) == {"name", "kind", "inputs", "outputs", "macs"} for op in ops)
    places = {t["tensor"]: t["offset"] for op in ops for t in op["inputs"] + op["outputs"]}
    assert {n: o for n, o in places.items() if o is not None} == {
        tensor.name: planned.offset(tensor) for tensor in planned.step.live
    }
    macs = compiled.report["macs_forward"] + compiled.report["macs_backward"]
    assert sum(op["macs"] for op in ops) == macs


def test_the_arithmetic_of_macs_is_that_of_the_tensors(compiled):
    """An int8 layer's are in integers going forward; in float32 where an operand is float32."""
    report, step = compiled.report, compiled.planned.train.step
    if compiled.model.input.dtype == "float32":
        assert report["macs_forward_integer"] == report["macs_backward_integer"] == 0
    else:
        convolution = next(t for t in step.tasks if t.inputs[0].role == "input" and t.kernel.macs)
        assert report["macs_forward_integer"] == convolution.kernel.macs
    assert report["macs_forward_integer"] <= report["macs_forward"]
    assert report["macs_backward_integer"] <= report["macs_backward"]


@pytest.mark.parametrize(
    ("macs", "integer", "text"),
    [
        (894_592, 320, "894,592 MACs, 0.04% integer, 99.96% float32"),
        (451_904, 451_904, "451,904 MACs, integer"),
        (100, 0, "100 MACs, float32"),
        (10_000_000, 1, "10,000,000 MACs, 0.01% integer, 99.99% float32"),
    ],
)
def test_the_summary_says_in_which_arithmetic(macs, integer, text):
    assert display._macs(macs, integer) == text


def test_a_kernel_in_plain_loops_is_named_with_its_share_and_the_reason(compiled):
    report, step = compiled.report, compiled.planned.train.step
    plain = [task for task in step.tasks if task.kernel.plain_loops and task.kernel.macs]
    assert [kernel["op"] for kernel in report["plain_loops"]] == [task.name for task in plain]
    for kernel, task in zip(report["plain_loops"], plain, strict=True):
        assert kernel["macs"] == task.kernel.macs and kernel["share"] * step.macs == kernel["macs"]
    reasons = {kernel["op"]: kernel["reason"] for kernel in report["plain_loops"]}
    floats = compiled.model.input.dtype == "float32"
    reason = "no microkernel for this operator in float32"
    assert (reasons.get("conv:conv2d_add") == reason) == floats


def test_before_it_is_built_the_flash_is_that_of_the_constants():
    compiled = odt.compile(tiny.network())
    constants = {**compiled.planned.frozen, **compiled.planned.constants}
    values = [*constants.values(), *(slot.value for slot in compiled.planned.slots)]
    assert not compiled.report["flash_holds_code"]
    assert compiled.report["flash_bytes"] == sum(value.nbytes for value in values)


def test_a_part_of_the_parameters_reports_that_part():
    model = tiny.network(names=("conv", "old"))
    report = odt.compile(model, scheme="head", board="host", classes=6).report
    assert set(report["trained_parameters"]) == {"head.weight", "head.bias"}
    assert report["trainable_state_bytes"] == 6 * 4 * 4 + 6 * 4 + 16
    assert report["classes"] == 6 and report["new_head"] and report["scheme"] == "head"


@pytest.mark.parametrize("missing", [1, 1000])
def test_too_little_sram_is_said_with_the_amount_and_the_op_at_the_peak(missing):
    model = tiny.network()
    fits = odt.compile(model, scheme="full").report["peak_sram_bytes"]
    odt.compile(model, scheme="full", sram_bytes=fits)
    with pytest.raises(OdtError) as caught:
        odt.compile(model, scheme="full", sram_bytes=fits - missing)
    text = str(caught.value)
    assert text.startswith(f"net: needs {fits:,} bytes of SRAM, {missing:,} more than the ")
    peak = re.search(r"its peak is set by (\S+): ([\d,]+) for ", text)
    compiled = odt.compile(model, scheme="full", board="host")
    planned = max(
        (compiled.planned.train, compiled.planned.evaluate), key=lambda p: p.plan.total_bytes
    )
    assert peak[1] == planned.step.tasks[planned.plan.peak_op].name
    assert "\n" not in text


def test_too_little_flash_is_said_with_the_amount():
    needed = odt.compile(tiny.network()).report["flash_bytes"]
    odt.compile(tiny.network(), flash_bytes=needed)
    with pytest.raises(OdtError, match=f"{needed:,} bytes of flash for its constants alone, 10"):
        odt.compile(tiny.network(), flash_bytes=needed - 10)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"learning_rate": -0.1}, "it must be 0 or more, and finite"),
        ({"learning_rate": float("nan")}, "it must be 0 or more, and finite"),
        ({"learning_rate": float("inf")}, "it must be 0 or more, and finite"),
        ({"board": "teapot"}, "teapot"),
        ({"scheme": "last:9"}, "last:9"),
        ({"loss": "hinge"}, "hinge"),
        ({"classes": 1}, "classes is 1"),
    ],
)
def test_options_that_mean_nothing(options, message):
    with pytest.raises(OdtError, match=re.escape(message)):
        odt.compile(tiny.network(), **options)


def on_zephyr(name, **report):
    base = {"peak_sram_bytes": 200_000, "trainable_state_bytes": 50_000, "flash_bytes": 400_000}
    return with_zephyr({**base, **report}, find_board(name))


def test_the_budget_of_zephyr_is_that_of_its_devicetree():
    """Flash of 512 KB where the machine has more; SRAM without the DTCM."""
    an547, nucleo = on_zephyr("mps3-an547"), on_zephyr("nucleo_f746zg")
    assert (an547["sram_budget_bytes"], an547["flash_budget_bytes"]) == (262144, 524288)
    assert (nucleo["sram_budget_bytes"], nucleo["flash_budget_bytes"]) == (262144, 1048576)
    assert an547["zephyr_is_measured"] and not nucleo["zephyr_is_measured"]
    assert an547["peak_sram_bytes"] == 200_000 + an547["zephyr_sram_bytes"]
    assert an547["flash_bytes"] == 400_000 + an547["zephyr_flash_bytes"]
    smaller = with_zephyr(an547, find_board("mps3-an547", flash_bytes=500_000))
    assert smaller["flash_budget_bytes"] == 500_000


# What `west build` of Zephyr 3.5 printed, and the account without Zephyr of the same C.
WEST = [
    ("mps3-an547", {"flash_bytes": 705_992}, {"flash_bytes": 718_876}),
    (
        "mps3-an547",
        {"peak_sram_bytes": 44_208, "flash_bytes": 63_956},
        {"peak_sram_bytes": 49_608, "flash_bytes": 76_508},
    ),
]


@pytest.mark.parametrize(("board", "account", "west"), WEST)
def test_the_account_is_that_of_west_within_two_percent(board, account, west):
    found = on_zephyr(board, **account)
    for figure, printed in west.items():
        assert found[figure] == pytest.approx(printed, rel=0.02)


def test_a_board_that_nobody_measured_gets_the_most_that_is_known():
    most = max(
        row.zephyr_memory.own_flash_bytes or 0 for row in boards() if row.zephyr_memory is not None
    )
    found = on_zephyr("disco_l475_iot1")
    assert found["zephyr_flash_bytes"] == most and not found["zephyr_is_measured"]


@pytest.mark.parametrize(
    ("peak", "state", "in_dtcm", "budget"),
    [
        (200_000, 50_000, False, 262_144),
        (290_000, 50_000, True, 262_144 + 65_536),
        (290_000, 70_000, False, 262_144),  # the DTCM does not hold it
        (320_000, 50_000, False, 262_144),  # the rest does not fit
    ],
)
def test_what_trains_lies_in_the_dtcm_where_that_makes_it_fit(peak, state, in_dtcm, budget):
    found = on_zephyr("nucleo_f746zg", peak_sram_bytes=peak, trainable_state_bytes=state)
    assert (found["state_in_dtcm"], found["sram_budget_bytes"]) == (in_dtcm, budget)
    assert not on_zephyr("nrf52840dk", peak_sram_bytes=peak)["state_in_dtcm"]


def test_an_application_that_zephyr_has_no_room_for_is_refused(tmp_path):
    compiled = odt.compile(tiny.network(), scheme="full", board="qemu_cortex_m3")
    needed = compiled.report["peak_sram_bytes"]
    small = odt.compile(tiny.network(), scheme="full", board="qemu_cortex_m3", sram_bytes=needed)
    with pytest.raises(OdtError) as caught:
        small.save(tmp_path / "project", "zephyr")
    itself = on_zephyr("qemu_cortex_m3")["zephyr_sram_bytes"]
    assert f"{itself:,} more than the {needed:,} of qemu_cortex_m3 in Zephyr: " in str(caught.value)
    assert f", Zephyr itself {itself:,}. Train less" in str(caught.value)
    report = json.loads((compiled.save(tmp_path / "project", "zephyr") / "report.json").read_text())
    assert report["peak_sram_bytes"] == needed + itself
