"""The one line that matters of what make, compiler and linker print."""

import pytest

from tvm_ondevice_train.device.build import reason

MAKE = "make: *** [Makefile:38: build/model.o] Error 1"
RIGHTS = "mkdir: cannot create directory 'build': Permission denied"
HEADER = "model.c:3:10: fatal error: string.h: No such file or directory"
ASSEMBLER = "Assembler messages:\nFatal error: can't create build/model.o: Read-only file system"


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"{RIGHTS}\n{MAKE}", RIGHTS),
        (f"{HEADER}\n  3 | #include <string.h>\ncompilation terminated.\n{MAKE}", HEADER),
        (f"{ASSEMBLER}\n{MAKE}", ASSEMBLER.splitlines()[1]),
        (f"sh: 1: gcc: not found\n{MAKE}", "sh: 1: gcc: not found"),
        ("make: *** No rule to make target 'model.c'.  Stop.", "make: *** No rule to make target"),
        ("", "make failed without a message"),
    ],
)
def test_the_first_cause_is_said(text, expected):
    assert reason(text, "host").startswith(expected)
