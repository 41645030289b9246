import re

import pytest

from tvm_ondevice_train.boards import DEFAULT_BOARD, board, boards, read_table
from tvm_ondevice_train.c_runtime import drivers, runtime_files
from tvm_ondevice_train.errors import OdtError


def test_the_default_board_is_the_cortex_m7_with_256_kb():
    row = board(DEFAULT_BOARD)
    assert (row.cpu, row.sram_bytes, row.flash_bytes) == ("cortex-m7", 256 * 1024, 1024 * 1024)


@pytest.mark.parametrize("row", boards(), ids=lambda row: row.name)
def test_a_row_has_what_its_platforms_need(row):
    if not row.is_host:
        assert 0 < row.sram_bytes <= row.sram_limit_bytes
        assert 0 < row.flash_bytes <= row.flash_limit_bytes
    if "baremetal" in row.platforms:
        assert row.ram_origin % 0x1000000 == 0  # the MPU aligns regions to their size
        assert row.flash_origin is not None and row.transports
        assert {"driver", "base", "clock_hz"} <= set(row.uart)
        assert row.qemu_machine or any("{elf}" in word for word in row.flasher)
    if "zephyr" in row.platforms:
        assert set(row.zephyr) == {"3.5", "3.7"}


def test_a_default_is_what_can_run_here():
    expected = {
        "host": ("host",),
        "mps2-an500": ("baremetal",),
        "mps2-an385": ("baremetal", "zephyr"),
        "nrf52840dk": ("baremetal", "zephyr"),
        "native_sim": ("zephyr",),
        "qemu_cortex_m3": ("zephyr",),
    }
    assert {name: board(name).platforms for name in expected} == expected
    assert board("mps2-an500").transports == ("semihosting", "uart")
    assert board("nucleo_f746zg").transports == ("uart",)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("mps2/an521/cpu0", "mps2-an521"),
        ("mps2_an521", "mps2-an521"),
        ("nrf52840dk/nrf52840", "nrf52840dk"),
        ("nucleo_f746zg", "nucleo_f746zg"),
    ],
)
def test_a_name_of_either_zephyr_is_known(name, row):
    assert board(name).name == row


def test_rows_can_be_keys():
    assert len({row: row.name for row in boards()}) == len(boards())


def test_a_budget_can_be_overridden():
    row = board("mps2-an386", sram_bytes=65536)
    assert (row.sram_bytes, row.flash_bytes) == (65536, 1048576)


def test_an_unknown_board_names_the_known_ones():
    with pytest.raises(OdtError, match=r"unknown board 'stm32'.*host, mps2-an500, mps2-an386"):
        board("stm32")


@pytest.mark.parametrize("bytes_", [0, -1, 5 * 1024 * 1024])
def test_a_budget_the_machine_cannot_have_is_refused(bytes_):
    with pytest.raises(OdtError, match="sram_bytes of mps2-an500"):
        board("mps2-an500", sram_bytes=bytes_)


@pytest.mark.parametrize("driver", drivers("uart"))
def test_a_row_says_what_the_driver_of_its_uart_wants_to_know(driver):
    port = "".join(runtime_files([f"uart_{driver}.c"]).values())
    wanted = {name.lower() for name in re.findall(r"BOARD_UART_(\w+)", port)} - {"baud"}
    rows = [row.uart for row in boards() if row.uart and row.uart["driver"] == driver]
    assert rows
    assert all(set(row) == {"driver", "clock_hz", *wanted} for row in rows)


ROW = {"description": "made up", "cpu": "cortex-m4"}
UART = {"driver": "cmsdk", "base": "0x40004000", "clock_hz": 25000000}


def test_a_row_is_all_that_a_board_is():
    places = {"ram_origin": "0x20000000", "flash_origin": "0x0", "uart": UART}
    row = {**ROW, **places, "sram_bytes": 65536, "flash_bytes": 262144}
    found = read_table({"mine": row})["mine"]
    assert (found.ram_origin, found.core.dsp, found.compiler) == (
        0x20000000,
        True,
        "arm-none-eabi-gcc",
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cpu": "z80"}, "unknown CPU 'z80'; known are cortex-m0, .*, rv32imafc, host"),
        (
            {"uart": {**UART, "driver": "none"}},
            "unknown uart driver 'none'; known are cmsdk, nrf, .*",
        ),
        ({"store": {"driver": "tape"}}, "unknown flash driver 'tape'; known are none, nvmc, .*"),
        ({"store": {}}, "store.driver is missing"),
        ({"uart": {"driver": "cmsdk", "base": "0x4000"}}, "uart.clock_hz is missing"),
        ({"cpu": None}, "cpu is null; it must be a string"),
        ({"sram_byte": 5}, '"sram_byte" is unknown; allowed are description, cpu, sram_bytes, .*'),
        ({"sram_bytes": "64K"}, 'sram_bytes is "64K"; it must be an integer from 1 to .*'),
        ({"ram_origin": "zz"}, 'ram_origin is "zz"; it must be an address, such as 0x20000000'),
        ({"ram_origin": "0x20000000"}, "sram_bytes is missing; a row with addresses has it"),
    ],
)
def test_a_wrong_row_is_named_with_what_there_is(wrong, message):
    with pytest.raises(OdtError, match=f"^boards.json: mine: {message}$"):
        read_table({"mine": {**ROW, **wrong}})
