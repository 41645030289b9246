"""A .pt2 file is data: files that would run code are refused, and their code does not run."""

import io
import json
import pickle
import re
import zipfile

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from tvm_ondevice_train.errors import OdtError  # noqa: E402
from tvm_ondevice_train.frontend import load  # noqa: E402
from tvm_ondevice_train.frontend.torch import archive as reader  # noqa: E402


@pytest.fixture(scope="module")
def members():
    """name -> content of an ordinary archive, with a free batch, so that it has expressions."""
    batch = {0: torch.export.Dim("batch", max=9)}
    program = torch.export.export(nn.Linear(3, 2), (torch.ones(2, 3),), dynamic_shapes=(batch,))
    content = io.BytesIO()
    torch.export.save(program, content)
    with zipfile.ZipFile(content) as archive:
        return {m.filename.partition("/")[2]: archive.read(m) for m in archive.infolist()}


def write(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"net/{name}", content)
    return path


class Evil:
    """Its pickle makes a file when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def evil_tensors(path):
    content = io.BytesIO()
    torch.save({"weight": Evil(path)}, content)
    return content.getvalue()


def edited(content, edit):
    table = json.loads(content)
    edit(table)
    return json.dumps(table).encode()


def test_an_ordinary_file_is_read_and_its_examples_are_not(members, tmp_path):
    mark = tmp_path / "ran"
    harmless = members | {"data/sample_inputs/model.pt": evil_tensors(mark), "extra/a": b"b"}
    assert load(write(tmp_path / "net.pt2", harmless)).input.shape == (1, 3)
    assert not mark.exists()


def pickled_weight(table):
    table["config"]["weight"]["use_pickle"] = True


def huge_weight(table):
    table["config"]["weight"]["tensor_meta"]["sizes"] = [{"as_int": 2**40}]


def custom_object(table):
    table["config"]["thing"] = {**table["config"]["weight"], "path_name": "custom_obj_0"}


WEIGHTS = "data/weights/model_weights_config.json"


@pytest.mark.parametrize(
    "edit, found",
    [
        (pickled_weight, '"weight" is pickled, and reading it would run code of the file'),
        (custom_object, '"thing" is pickled, and reading it would run code of the file'),
        (huge_weight, "its tensors have 1099511627778 elements, at most 268435456 do"),
    ],
)
def test_weights_that_are_no_plain_tensors(members, tmp_path, edit, found):
    refused(write(tmp_path / "net.pt2", members | {WEIGHTS: edited(members[WEIGHTS], edit)}), found)


@pytest.mark.parametrize(
    "member, found",
    [
        ("data/weights/model.pt", "is a pickle of more than tensors"),
        ("data/constants/model.pt", "is a pickle of more than tensors"),
        (
            "data/constants/opaque_obj_0",
            "is more than data (compiled code, or an object of Python)",
        ),
        (
            "data/constants/custom_obj_0",
            "is more than data (compiled code, or an object of Python)",
        ),
        (
            "data/aotinductor/model/a.so",
            "is more than data (compiled code, or an object of Python)",
        ),
        ("../../etc/passwd", "is more than data (compiled code, or an object of Python)"),
    ],
)
def test_parts_that_run_code(members, tmp_path, member, found):
    mark = tmp_path / "ran"
    refused(write(tmp_path / "net.pt2", members | {member: evil_tensors(mark)}), found)
    assert not mark.exists()


def with_graph(members, old, new):
    graph = members["models/model.json"].decode()
    assert re.search(old, graph)
    return members | {"models/model.json": re.sub(old, lambda _: new, graph).encode()}


def test_operators_that_are_none(members, tmp_path):
    evil = with_graph(members, r"torch\.ops\.aten\.linear\.default", "torch.os.system")
    refused(write(tmp_path / "net.pt2", evil), 'operator "torch.os.system" is none of torch.ops')


@pytest.mark.parametrize("code", ["__import__('os').getcwd()", "9**9**9", "open('a')", "Pow(9, 9)"])
def test_expressions_that_are_code(members, tmp_path, code):
    evil = with_graph(members, r"Symbol\('s\d+'[^)]*\)", code)
    refused(write(tmp_path / "net.pt2", evil), f'"{code}" is no expression of sizes')


def test_guards_are_not_run(members, tmp_path):
    mark = tmp_path / "ran"

    def guard(table):
        table["guards_code"] = [f"open({str(mark)!r}, 'w')"]

    model = edited(members["models/model.json"], guard)
    load(write(tmp_path / "net.pt2", members | {"models/model.json": model}))
    assert not mark.exists()


def test_a_bomb(members, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "LARGEST", 10**6)
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/weights/weight_0", bytes(10**6 + 1))
    refused(path, "it unpacks to more than 1000000 bytes")


def test_an_encrypted_archive(members, tmp_path):
    path = write(tmp_path / "net.pt2", {"archive_format": b"pt2"})
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    refused(path, "the archive is encrypted; save it without a password")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(members, tmp_path):
    path = write(tmp_path / "net.pt2", members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/archive_format", b"pt2")
    refused(path, "the archive has two members of one name")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", pickle.dumps(Evil("ran"))])
def test_a_file_that_is_no_archive(tmp_path, content):
    (tmp_path / "net.pt2").write_bytes(content)
    refused(tmp_path / "net.pt2", "not a torch.export file (File is not a zip file)")


def refused(path, found):
    with pytest.raises(OdtError, match=rf"^net\.pt2: [^\n]*{re.escape(found)}[^\n]*$"):
        load(path)
