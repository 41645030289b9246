"""What a program that leaves its memory does on every emulated core: it ends with one line."""

from dataclasses import replace
from functools import cache

import pytest
from fake_project import MANIFEST, edited, fake_project, samples

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.errors import OdtError

SMALLER = 3 * 4096 + 128  # a budget of its own, which no power of two is
EMULATED = [row.name for row in boards() if row.qemu_machine and "baremetal" in row.platforms]
WITHOUT_GUARD = {"microbit"}
GUARDED = [name for name in EMULATED if name not in WITHOUT_GUARD]
# What a step with this seed does before it ends.
LAST_WORD, BEYOND, DEEP, TO_FLASH, FAR, DATA_AS_CODE, ILLEGAL = range(1, 8)
DEEP_CODE = """
static __attribute__((noinline)) void overflow(void)
{
    volatile char deep[6000];
    for (int i = 5999; i >= 0; i--) deep[i] = 0;
}

int odt_init("""
CODE = """
    switch (odt->seed) {
    case 1: *(volatile uint32_t *)(uintptr_t)%(last)uu = 1; break;
    case 2: *(volatile uint32_t *)(uintptr_t)%(end)uu = 1; break;
    case 3: overflow(); break;
    case 4: *(volatile uint32_t *)(uintptr_t)%(flash)uu = 1; break;
    case 5: *(volatile uint32_t *)(uintptr_t)0x90000000u = 1; break;
    case 6: ((void (*)(void))(uintptr_t)%(data)uu)(); break;
    case 7: __asm__ volatile(".short 0xdeff\\n.short 0xdeff"); break;
    }
    odt->steps++;
"""
WORDS = {
    "cortex_m": {
        BEYOND: "MemManage at address {end:#010x}: beyond the SRAM budget",
        DEEP: "MemManage.*: stack overflow",
        TO_FLASH: "MemManage at address {flash:#010x}: write to flash",
        FAR: "MemManage at address 0x90000000: outside flash and SRAM",
        DATA_AS_CODE: "MemManage",
        ILLEGAL: "UsageFault",
    },
    "riscv": {
        BEYOND: "store fault at address {end:#010x}: beyond the SRAM budget",
        DEEP: "store fault at address .*: stack overflow",
        TO_FLASH: "store fault at address {flash:#010x}: write to flash",
        FAR: "store fault at address 0x90000000: outside flash and SRAM",
        DATA_AS_CODE: "fetch fault at address",
        ILLEGAL: "illegal instruction",
    },
}
CODE_BIT = {"cortex_m": 1, "riscv": 0}  # of an address that is called


def addresses(name):
    row = find_board(name)
    sram_bytes = row.sram_bytes if name in WITHOUT_GUARD else SMALLER
    end = row.ram_origin + sram_bytes
    flash, data = row.flash_origin + 64, row.ram_origin + 256 + CODE_BIT[row.architecture.name]
    return {"end": end, "last": end - 4, "flash": flash, "data": data}


@cache
def project(name, directory):
    """The fake model for board `name`, with the faults: built once for all tests of it."""
    files = edited(model_c=("    odt->steps++;\n", CODE % addresses(name)))
    files["model.c"] = files["model.c"].replace("int odt_init(", DEEP_CODE, 1)
    budget = {} if name in WITHOUT_GUARD else {"sram_bytes": SMALLER}
    manifest = replace(MANIFEST, stack_bytes=4096)
    return fake_project(directory / name, name, files, manifest, **budget)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


def step(name, directory, seed):
    x, y = samples(1)
    with Session(project(name, directory)) as device:
        device.set_seed(seed)
        return device.train(x[0], y[0])


@pytest.mark.parametrize("name", EMULATED)
def test_all_of_the_budget_can_be_used(name, directory):
    assert step(name, directory, LAST_WORD) > 0


@pytest.mark.parametrize("fault", [BEYOND, DEEP, TO_FLASH, FAR, DATA_AS_CODE, ILLEGAL])
@pytest.mark.parametrize("name", GUARDED)
def test_a_fault_says_what_it_was(name, fault, directory):
    message = WORDS[find_board(name).architecture.name][fault].format(**addresses(name))
    with pytest.raises(OdtError, match=rf"{message}.*exit status 70"):
        step(name, directory, fault)


@pytest.mark.parametrize("fault", [BEYOND, DEEP, FAR, ILLEGAL])
@pytest.mark.parametrize("name", WITHOUT_GUARD)
def test_a_core_without_a_guard_faults_where_no_memory_answers(name, fault, directory):
    with pytest.raises(OdtError, match=r"HardFault .exit status 70"):
        step(name, directory, fault)
