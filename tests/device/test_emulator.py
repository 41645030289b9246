"""What only an emulated board can show: instruction counts, budgets, faults."""

import pytest
from fake_project import edited, fake_project, samples

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session, build, sizes, toolchain
from tvm_ondevice_train.errors import OdtError


def counts_of(directory, steps=5):
    x, y = samples(steps)
    with Session(directory) as device:
        for pair in zip(x, y, strict=True):
            device.train(*pair)
            device.predict(pair[0])
    return device.counts


def with_code(code, before="    odt->steps++;"):
    """The fake model with one more statement at the end of its training step."""
    return edited(model_c=(before, f"    {code}\n{before}"))


def first_step(directory):
    x, y = samples(1)
    with Session(directory) as device:
        return device.train(x[0], y[0])


def test_instruction_counts_repeat(tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    first = counts_of(directory)
    assert first == counts_of(directory)
    assert first["train"][0] == first["predict"][0] == 5
    assert first["train"][1] > first["predict"][1] > 5 * 640  # at least one a weight


LOOPS = {
    "cortex_m": 'movw r3, #{0}\\n 1: subs r3, r3, #1\\n nop\\n bne 1b" ::: "r3", "cc"',
    "riscv": 'li t0, {0}\\n 1: addi t0, t0, -1\\n nop\\n bnez t0, 1b" ::: "t0"',
}


@pytest.mark.parametrize("board", ["mps2-an500", "mps2-an386", "mps3-an547", "virt-rv32imac"])
def test_instruction_counts_are_exact(board, tmp_path):
    loop = LOOPS[find_board(board).architecture.name]

    def instructions(iterations):
        code = f'__asm__ volatile("{loop.format(iterations)});'
        directory = fake_project(tmp_path / str(iterations), board, with_code(code))
        return counts_of(directory, 1)["train"][1]

    assert instructions(7000) - instructions(3000) == 3 * 4000  # neither fits one instruction


def test_instructions_are_those_of_each_call_of_a_function(tmp_path):
    """A function's calls in their order, what it calls counted with it; two regions add up."""

    def loop(iterations):
        text = f"movw r3, #{iterations}\\n 1: subs r3, r3, #1\\n nop\\n bne 1b"
        return f'__asm__ volatile("{text}" ::: "r3", "cc");'

    kept = "static __attribute__((noinline, noclone)) void"
    functions = (
        f"{kept} inner(void) {{ {loop(1000)} }}\n"
        f'{kept} first(void) {{ inner(); {loop(2000)} __asm__ volatile(""); }}\n'
        f"{kept} second(void) {{ {loop(500)} }}\n"
    )
    files = with_code("first(); second(); first();")
    files["model.c"] = files["model.c"].replace("\nint odt_init", f"\n{functions}\nint odt_init", 1)
    directory = fake_project(tmp_path / "project", "mps2-an500", files)
    x, y = samples(2)
    with Session(directory, kernels=("second", "first")) as device:
        for pair in zip(x, y, strict=True):
            device.train(*pair)
        device.predict(x[0])
    names = [name for name, _ in device.calls["train"]]
    assert names == ["first", "second", "first"] and list(device.calls) == ["train"]
    (_, first), (_, second), (_, last) = device.calls["train"]
    assert 2 * 3 * 3000 < first < 2 * (3 * 3000 + 20) and 2 * 3 * 500 < second < 2 * (3 * 500 + 20)
    assert first <= last < first + 40  # and the rest of the step
    assert sum(total for _, total in device.calls["train"]) < device.counts["train"][1]


def test_a_function_that_is_not_there_cannot_be_counted(tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    with pytest.raises(OdtError, match="no function teapot; was it inlined"):
        Session(directory, kernels=["teapot"])


def test_the_host_counts_nothing(tmp_path):
    assert counts_of(fake_project(tmp_path / "project")) == {}


@pytest.mark.parametrize("sram_bytes", [262144, 99968])
def test_the_guard_is_as_large_as_the_budget(sram_bytes, tmp_path):
    """test_faults.py has every core with a small budget, and every other fault."""
    end = 0x20000000 + sram_bytes
    inside = with_code(f"*(volatile uint32_t *)(uintptr_t){end - 4}u = 1;")
    first_step(fake_project(tmp_path / "inside", "mps2-an500", inside, sram_bytes=sram_bytes))

    outside = with_code(f"*(volatile uint32_t *)(uintptr_t){end}u = 1;")
    directory = fake_project(tmp_path / "outside", "mps2-an500", outside, sram_bytes=sram_bytes)
    with pytest.raises(OdtError, match=f"MemManage at address {end:#x}: beyond the SRAM budget"):
        first_step(directory)


def test_sram_that_overflows_does_not_link(tmp_path):
    files = edited(model_h=("#define ODT_ARENA_BYTES 4096u", "#define ODT_ARENA_BYTES 300000u"))
    with pytest.raises(OdtError, match=r"exceeds the budget of mps2-an500: SRAM by \d+ bytes;"):
        build(fake_project(tmp_path / "project", "mps2-an500", files))


def test_flash_that_overflows_does_not_link(tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500", flash_bytes=2048)
    with pytest.raises(OdtError, match=r"exceeds the budget of mps2-an500: flash by \d+ bytes;"):
        build(directory)


def test_a_compile_error_is_one_line(tmp_path):
    files = edited(model_c=("#include <string.h>", "#error no model\n#include <string.h>"))
    with pytest.raises(OdtError, match=r"^build: model\.c:3:.*no model$"):
        build(fake_project(tmp_path / "project", files=files))


def test_sizes_account_for_all_of_sram(tmp_path):
    elf = build(fake_project(tmp_path / "project", "mps2-an500"), "-Werror")
    found = sizes(elf)
    assert (found.arena_bytes, found.state_bytes, found.stack_bytes) == (4096, 2616, 8192)
    assert 2000 < found.flash_bytes < 12000
    assert 40 <= found.other_bytes < 200


def test_a_missing_tool_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OdtError, match="qemu-system-arm not found; install it: apt install"):
        toolchain.find_tool("qemu-system-arm")


def test_a_directory_that_is_no_project_is_refused(tmp_path):
    with pytest.raises(OdtError, match="is not a project"):
        build(tmp_path)
