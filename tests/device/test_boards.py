import pytest

from tvm_ondevice_train.boards import DEFAULT_BOARD, board, boards
from tvm_ondevice_train.errors import OdtError


def test_the_default_board_is_the_cortex_m7_with_256_kb():
    row = board(DEFAULT_BOARD)
    assert (row.cpu, row.sram_bytes, row.flash_bytes) == ("cortex-m7", 256 * 1024, 1024 * 1024)


def test_every_emulated_board_has_addresses_and_a_budget_within_its_machine():
    for row in boards():
        if not row.is_host:
            assert 0 < row.sram_bytes <= row.sram_limit_bytes
            assert 0 < row.flash_bytes <= row.flash_limit_bytes
            assert row.ram_origin % 0x1000000 == 0  # the MPU aligns regions to their size


def test_a_budget_can_be_overridden():
    row = board("mps2-an386", sram_bytes=65536)
    assert (row.sram_bytes, row.flash_bytes) == (65536, 1048576)


def test_an_unknown_board_names_the_known_ones():
    with pytest.raises(OdtError, match="unknown board 'stm32'.*host, mps2-an500, mps2-an386"):
        board("stm32")


@pytest.mark.parametrize("bytes_", [0, -1, 5 * 1024 * 1024])
def test_a_budget_the_machine_cannot_have_is_refused(bytes_):
    with pytest.raises(OdtError, match="sram_bytes of mps2-an500"):
        board("mps2-an500", sram_bytes=bytes_)
