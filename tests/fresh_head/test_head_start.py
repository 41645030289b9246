"""A fresh head that starts from the file's own classifier, in whole or by names."""

import int8_heads
import numpy as np
import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.fresh_head import UNUSED, replace_head
from tvm_ondevice_train.options import Options

NETWORK = tiny.network(names=("conv", "old"))
OURS, THEIRS = ("cat", "dog", "emu", "fox"), ("dog", "fox", "gnu")


def head(model=NETWORK, **options):
    changed = replace_head(model, Options.of(**options))
    return changed.head, changed.parameters


def test_as_many_classes_start_from_the_files_own():
    fresh, values = head(classes=3, head_start="file")
    np.testing.assert_array_equal(values["head.weight"], NETWORK.parameters["old.weight"])
    np.testing.assert_array_equal(values["head.bias"], NETWORK.parameters["old.bias"])
    assert fresh.described == "3 of 3 classes start from the file's own"


def test_an_int8_classifier_gives_its_real_values(tmp_path):
    """The device then answers what the model's own head answers as float32."""
    model = int8_heads.network()
    x = np.random.default_rng(3).integers(-128, 128, (4, 1, 1), dtype=np.int8)
    answers = []
    for name, options in (("own", {"head": "float"}), ("fresh", {"classes": 3})):
        options |= {"head_start": "file"} if name == "fresh" else {}
        compiled = odt.compile(model, board="host", **options)
        with Session(compiled.save(tmp_path / name)) as device:
            answers.append(device.predict(x))
    assert answers[0].tobytes() == answers[1].tobytes()


@pytest.mark.parametrize("start", ["auto", "file"])
def test_rows_of_equal_names_are_copied(start):
    names = {"class_names": OURS, "file_class_names": ",".join(THEIRS)}
    fresh, values = head(classes=4, head_start=start, max_classes=6, **names)
    _, random = head(classes=6)
    own = NETWORK.parameters["old.weight"]
    np.testing.assert_array_equal(values["head.weight"][[1, 3]], own[[0, 1]])
    others = [0, 2, 4, 5]
    np.testing.assert_array_equal(values["head.weight"][others], random["head.weight"][others])
    assert fresh.described.endswith("2 of 4 classes start from the file's own")


def test_names_lie_in_files(tmp_path):
    (tmp_path / "ours.txt").write_text("\n".join(OURS) + "\n\n")
    options = Options.of(
        classes=4, class_names=str(tmp_path / "ours.txt"), file_class_names="dog, fox ,gnu"
    )
    assert (options.class_names, options.file_class_names) == (OURS, THEIRS)


def test_nothing_is_copied_that_nobody_asked_for():
    fresh, values = head(classes=3)
    assert not np.array_equal(values["head.weight"], NETWORK.parameters["old.weight"])
    assert "--head-start file starts from it" in fresh.described
    assert head(classes=3, head_start="random")[0].described is None
    assert head(classes=4)[0].described is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 4, "head_start": "file"}, "classifier has 3 outputs, not 4; to start from"),
        (
            {"classes": 4, "class_names": OURS, "file_class_names": THEIRS[:2]},
            "file_class_names has 2 names; the file's classifier has 3 outputs",
        ),
        (
            {"classes": 4, "class_names": OURS, "file_class_names": ("Dog", "Fox", "Gnu")},
            "no class name is also one of the file's",
        ),
        ({"classes": 3, "class_names": OURS, "file_class_names": THEIRS}, "class_names are 4"),
        ({"classes": 4, "class_names": OURS}, "give both, or none"),
        ({"classes": 2, "class_names": "a,a", "file_class_names": "a,b"}, '"a" is there twice'),
        ({"head_start": "file"}, "head_start is of a fresh head; give classes, too"),
        ({"head": "cosine"}, "head cosine is of a fresh head"),
        ({"max_classes": 5}, "max_classes is of a fresh head"),
        ({"classes": 6, "max_classes": 5}, "max_classes is 5, less than the 6 classes"),
        ({"classes": 3, "max_classes": 5, "loss": "mse"}, "loss mse has none"),
        ({"classes": 3, "head": "cosine", "loss": "mse"}, "loss mse has none"),
        ({"classes": 3, "temperature": 0}, "temperature is 0; it must be a number above 0"),
        ({"classes": 3, "head_start": "zeros"}, "allowed are auto, file, random"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(options, message):
    with pytest.raises(OdtError) as caught:
        head(**options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_cosine_head_trains_in_whole():
    scheme = odt.UpdateScheme({"conv.bias": "all"})
    with pytest.raises(OdtError, match="does not train all of"):
        odt.compile(NETWORK, classes=3, head="cosine", scheme=scheme, board="host")


def test_room_for_classes_is_in_the_account():
    sizes = []
    for options in ({}, {"max_classes": 3}, {"max_classes": 20}):
        report = odt.compile(NETWORK, classes=3, board="host", **options).report
        sizes.append(report["trainable_state_bytes"])
        assert set(report["trained_parameters"]) == {"head.weight", "head.bias"}
    assert sizes[1] - sizes[0] == 4 * 3  # which classes are in use
    assert sizes[2] - sizes[1] == 4 * 17 * (4 + 1 + 1)
    _, values = head(classes=3, max_classes=20)
    np.testing.assert_array_equal(values["head.unused"], [0] * 3 + [UNUSED] * 17)
