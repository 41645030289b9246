"""The bound of the stack, computed from call graphs, against the mark that was painted."""

import re

import numpy as np
import pytest
from fake_project import edited, fake_project
from shared import needs_models, slow_after
from tiny_models import compiled

from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.device.machine_code import functions_in
from tvm_ondevice_train.device.stack_bound import stack_bound
from tvm_ondevice_train.errors import OdtError

BOARDS = ["mps2-an500", "mps3-an547", "microbit", "virt-rv32imac"]
EVERY_PORT = [(row.name, how) for row in boards() for how in row.transports]
FAULT_BYTES = 108  # what a core pushes at a fault, at most
SPARE = 160  # how much the bound may exceed a run that takes the deepest path


def use_everything(project):
    """The painted mark after every kind of request, and the bytes that are reserved."""
    with Session(project) as device:
        manifest = device.manifest
        x = np.zeros(manifest.sample_shape, manifest.input.dtype)
        for request in (device.train, device.evaluate):
            request(x, 1)
        device.predict(x)
        device.set_parameters(device.parameters())
        device.set_learning_rate(0.5)
        device.set_seed(3)
        device.save()
        device.save()
        device.load()
        device.reset()
        return device.stats()["stack_used"], manifest.stack_bytes


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [("cnn_int8", "full"), pytest.param("cnn", "bias:2", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("board", slow_after(2, ["mps2-an500", "virt-rv32imac", *BOARDS[1:3]]))
def test_no_request_takes_more_than_the_bound(board, kind, scheme, tmp_path):
    project = compiled(kind, scheme, board=board).save(tmp_path / "project")
    bound = stack_bound(project)
    used, reserved = use_everything(project)
    assert used <= bound.size_bytes <= reserved
    assert bound.size_bytes <= used + FAULT_BYTES + SPARE
    assert sum(size for _, size in bound.path) == bound.size_bytes


@needs_models
@pytest.mark.slow
@pytest.mark.parametrize("board", ["mps2-an500", "mps3-an547", "virt-rv32imac"])
def test_the_stack_holds_a_deep_network_all_of_which_trains(board, tmp_path):
    memory = {"sram_bytes": 4 << 20, "flash_bytes": 4 << 20}
    model = compiled("mcunet_int8/mcunet-5fps.onnx", "full", classes=10, board=board, **memory)
    bound = stack_bound(model.save(tmp_path / "project"))
    assert "odt_train_step" in dict(bound.path)
    assert bound.size_bytes <= model.manifest.stack_bytes


@pytest.mark.parametrize(("board", "transport"), slow_after(10, EVERY_PORT))
def test_every_port_has_a_bound_and_keeps_to_it(board, transport, tmp_path):
    project = fake_project(tmp_path / "project", board, transport=transport)
    assert 300 < stack_bound(project).size_bytes <= 2048


@pytest.mark.parametrize("board", BOARDS)
def test_a_deeper_function_raises_the_bound_by_as_much(board, tmp_path):
    def bound(extra):
        scratch = f"volatile char deep[{extra}]; deep[0] = 0; float output[ODT_OUTPUT_ELEMENTS];"
        files = edited(model_c=("float output[ODT_OUTPUT_ELEMENTS];", scratch))
        return stack_bound(fake_project(tmp_path / str(extra), board, files)).size_bytes

    assert bound(1536) - bound(1024) == 512


INSIDE = "int odt_init(odt_t *odt, void *arena, size_t arena_bytes)\n{\n"
DEEP = "__attribute__((noinline)) static int deep(int n)\n{{\n    {body}\n}}\n\n"


def with_function(body, call):
    """The model with a function of one argument, which odt_init() calls."""
    return edited(model_c=(INSIDE, DEEP.format(body=body) + f"{INSIDE}    {call}\n"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("volatile int m = n; return n > 9 ? m : deep(n + 1) + m;", "deep, deep call each other"),
        ("volatile char a[n]; a[0] = 1; return a[n - 1];", "deep has a frame of variable size"),
    ],
)
@pytest.mark.parametrize("board", ["mps2-an500", "virt-rv32imac"])
def test_what_has_no_bound_is_refused(board, body, words, tmp_path):
    files = with_function(body, "if (deep((int)arena_bytes) == 3) return ODT_ERR_ARENA;")
    with pytest.raises(OdtError, match=f"stack: {words}"):
        stack_bound(fake_project(tmp_path / "project", board, files))


@pytest.mark.parametrize("board", ["mps2-an500", "virt-rv32imac"])
def test_a_function_behind_a_pointer_counts(board, tmp_path):
    """Also one that nobody calls: its address may reach whoever calls through a pointer."""
    take = "static int (*volatile pointer)(int); pointer = deep;"
    files = with_function("volatile char a[4000]; a[n] = 1; return a[0];", take)
    bound = stack_bound(fake_project(tmp_path / "project", board, files))
    assert bound.size_bytes > 4000 and "deep" in dict(bound.path)


@pytest.mark.parametrize(
    ("board", "kind"), [("mps3-an547", "cnn_int8"), ("microbit", "cnn"), ("virt-rv32imac", "cnn")]
)
def test_machine_code_is_read_as_the_compiler_accounts_for_it(board, kind, tmp_path):
    """What is read of the library's functions holds for those of which the compiler tells."""
    row = next(row for row in boards() if row.name == board)
    program = build(compiled(kind, "bias:2", board=board).save(tmp_path / "project"))
    text = "".join(path.read_text() for path in program.parent.rglob("*.ci"))
    told = re.findall(r'title: "([^"]+)" label: "[^"]*\\n(\d+) bytes', text)
    told = {title.rsplit(":")[-1]: int(size) for title, size in told}
    read = functions_in(program, row.architecture, told)
    common = sorted(told.keys() & read.keys())
    assert len(common) > 50
    assert {name: read[name].problem for name in common if "variable" in read[name].problem} == {}
    wrong = {name: (told[name], read[name].frame_bytes) for name in common}
    assert {name: pair for name, pair in wrong.items() if pair[1] < pair[0]} == {}


def test_only_a_bare_metal_program_has_a_bound(tmp_path):
    with pytest.raises(OdtError, match="is a project for host"):
        stack_bound(fake_project(tmp_path / "project"))


def test_a_program_that_was_built_without_call_graphs_is_refused(tmp_path):
    project = fake_project(tmp_path / "project", "mps2-an500")
    makefile = project / "Makefile"
    makefile.write_text(makefile.read_text().replace("-fcallgraph-info=su", ""))
    with pytest.raises(OdtError, match=r"no call graphs.*gcc 10"):
        stack_bound(project)
