"""Which files of the runtime a project gets."""

import pytest

from tvm_ondevice_train import c_runtime
from tvm_ondevice_train.c_runtime import drivers, runtime_files


def ports(*roots):
    return {path.removeprefix("port/") for path in runtime_files(roots) if path.startswith("port/")}


def test_drivers_are_named_after_their_files():
    assert drivers("uart") == ["cmsdk", "nrf", "nrf_dma", "ns16550", "stm32", "stm32f4"]
    assert drivers("flash") == ["none", "nvmc", "semihosting"]


@pytest.mark.parametrize(
    ("root", "needed"),
    [
        ("uart_cmsdk.c", {"uart.h"}),
        ("uart_nrf_dma.c", {"uart.h", "nrf_pins.h"}),
        ("uart_stm32.c", {"uart.h", "stm32_pins.h", "stm32_pins.c"}),
        ("zephyr_yield.h", set()),
    ],
)
def test_a_port_brings_the_headers_that_it_includes_and_what_is_beside_them(root, needed):
    assert ports(root) == {root, *needed}


def test_every_project_has_include_and_src():
    names = {path.split("/")[0] for path in runtime_files(())}
    assert names == {"include", "src"}


def test_needs_are_followed_to_their_end(tmp_path, monkeypatch):
    port = tmp_path / "port"
    port.mkdir()
    for name, text in {
        "uart_mine.c": '#include "pins.h"\n#include "odt_board.h"\n// #include "no.h"\n',
        "pins.h": "",
        "pins.c": '#include "pins.h"\n#include "clock.h"\n',
        "clock.h": "",
        "no.h": "",
    }.items():
        (port / name).write_text(text)
    monkeypatch.setattr(c_runtime, "runtime_dir", lambda: tmp_path)
    assert drivers("uart") == ["mine"]
    assert ports("uart_mine.c") == {"uart_mine.c", "pins.h", "pins.c", "clock.h"}
