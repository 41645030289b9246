"""odt_block_float.h: the same codes, peaks and results as the plain formulae, on every core."""

import pytest
from simd_checks import BOARDS, HOSTS, LEVELS, run_on_board, run_on_host


@pytest.mark.parametrize("variant", HOSTS)
def test_every_variant_for_a_computer_keeps_to_its_memory(tmp_path, variant):
    assert run_on_host("block_float", tmp_path, variant) == ""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("core", BOARDS)
def test_every_core_rounds_like_the_plain_formulae(tmp_path, core, level):
    assert run_on_board("block_float", core, level, tmp_path) == ""
