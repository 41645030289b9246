"""Folders of images: which file has which label, and what becomes of its pixels."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from manifests import CODES, taking
from PIL import Image
from shared import shared_path

from tvm_ondevice_train.data import Reading, load_data, load_inputs
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.manifest import Target

GREY = taking(1, 4, 6, codes=CODES, layout="NCHW")


def image(path, value=100, size=(6, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def folder(root, **values):
    """`split__class=[values]`, or `class=[values]`: a picture each of one grey value."""
    for place, greys in values.items():
        for index, grey in enumerate(greys):
            image(root.joinpath(*place.split("__"), f"{index}.png"), grey)
    return root


def greys(x) -> list[int]:
    return (x[:, 0, 0, 0].astype(int) + 128).tolist()


def test_a_folder_is_a_class_and_labels_are_the_order_of_names(tmp_path):
    lines = []
    root = folder(tmp_path, shoe=[3, 4], hat=[1, 2], dress=[0])
    found = load_data(root, GREY, say=lines.append)
    assert found.class_names == ("dress", "hat", "shoe")
    assert greys(found.x) == [0, 1, 2, 3, 4]
    assert found.y.tolist() == [0, 1, 1, 2, 2] and found.x_test is None
    assert "images, cut to 6x4 L" in lines[0]
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "hat" / "notes.txt").write_text("no picture")
    np.testing.assert_array_equal(load_data(str(root), GREY).x, found.x)


def test_splits_share_their_labels(tmp_path):
    root = folder(tmp_path, train__b=[1], train__a=[2, 3], val__a=[4], test__b=[5])
    found = load_data(root, GREY)
    assert found.class_names == ("a", "b")
    assert greys(found.x) == [2, 3, 1] and found.y.tolist() == [0, 0, 1]
    assert greys(found.x_val) == [4] and found.y_val.tolist() == [0]
    assert greys(found.x_test) == [5] and found.y_test.tolist() == [1]


@pytest.mark.parametrize("header", [None, "path,split,class", "Class,File,split"])
def test_a_table_says_split_and_class(header, tmp_path):
    folder(tmp_path, all=[1, 2, 3])
    rows = [("0", "train", "x"), ("1", "test", "y"), ("2", "training", "y")]
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(header.split(","))
        for name, split, label in rows:
            values = [f"all/{name}.png", split, label]
            writer.writerow([label, values[0], split] if "Class" in str(header) else values)
    found = load_data(tmp_path, GREY)
    assert greys(found.x) == [1, 3] and found.y.tolist() == [0, 1]
    assert greys(found.x_test) == [2] and found.y_test.tolist() == [1]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("0", "2"), ("0", "1", "2")),  # below the model's 12 classes: labels
        (("2", "10", "1"), ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")),
        (("9", "30", "100"), ("9", "30", "100")),
        (("b", "10", "a"), ("10", "a", "b")),
    ],
)
def test_names_that_are_numbers_are_ordered_as_such(names, expected, tmp_path):
    root = folder(tmp_path, **{name: [int(name, 36) % 256] for name in names})
    manifest = taking(1, 4, 6, codes=CODES, layout="NCHW", classes=12)
    found = load_data(root, manifest)
    assert found.class_names == tuple(expected if len(expected) < 4 else map(str, range(11)))
    for grey, label in zip(greys(found.x), found.y, strict=True):
        assert int(found.class_names[label], 36) % 256 == grey


def test_names_can_be_given_in_the_order_of_labels(tmp_path):
    lines = []
    reading = Reading.of(class_names="c,a,b")
    found = load_data(folder(tmp_path, a=[1], b=[2]), GREY, reading, say=lines.append)
    assert found.class_names == ("c", "a", "b") and found.y.tolist() == [1, 2]
    assert lines[-1].endswith("has samples of 2 classes, and none of c; the model has 3")
    with pytest.raises(OdtError, match="has the class 'b'; --class-names has a, c"):
        load_data(tmp_path, GREY, Reading.of(class_names="a,c"))


def test_pixels_are_those_of_the_middle(tmp_path):
    """Twice as wide as high: the middle square, each pixel of it the mean of four."""
    x = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(x).save(tmp_path / "a" / "0.png")
    first = load_data(tmp_path, taking(3, 8, 8, codes=CODES, layout="NCHW")).x[0]
    np.testing.assert_array_equal(first, x[:, 4:12].transpose(2, 0, 1).astype(int) - 128)
    last = load_data(tmp_path, taking(8, 8, 3, codes=CODES, layout="NHWC")).x[0]
    np.testing.assert_array_equal(last.transpose(2, 0, 1), first)
    flat = np.repeat(np.repeat(x[:2, :2], 4, axis=0), 4, axis=1)
    Image.fromarray(flat).save(tmp_path / "a" / "0.png")
    small = load_data(tmp_path, taking(4, 4, 3, codes=CODES, layout="NHWC")).x[0]
    np.testing.assert_array_equal(small[::3, ::3], flat[::7, ::7].astype(int) - 128)


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    picture = Image.new("L", (4, 6), 0)
    picture.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    (tmp_path / "a").mkdir()
    picture.save(tmp_path / "a" / "0.png", exif=exif)
    x = load_data(tmp_path, GREY).x[0, 0]
    assert x[0, 5] == 127 and np.sum(x == 127) == 1


@pytest.mark.parametrize(
    ("outputs", "expected"), [(1, [[0], [1]]), (3, [[1, 0, 0], [0, 1, 0]])], ids=["one", "each"]
)
def test_classes_are_probabilities_where_those_are_learned(outputs, expected, tmp_path):
    target = Target("probabilities", (1, outputs))
    shape = (1, outputs)
    manifest = replace(GREY, loss="own", classes=None, output_shape=shape, target=target)
    found = load_data(folder(tmp_path, no=[1], yes=[2]), manifest)
    assert found.y.tolist() == expected and found.class_names == ("no", "yes")
    if outputs == 1:
        with pytest.raises(OdtError, match="3 classes: maybe, no, yes; the model has 2"):
            load_data(folder(tmp_path, maybe=[3]), manifest)


def test_an_autoencoder_needs_no_classes(tmp_path):
    manifest = taking(1, 4, 6, codes=CODES, layout="NCHW", classes=None)
    for place in ("0.png", "1.png"):
        image(tmp_path / place, 7)
    found = load_data(tmp_path, manifest)
    assert found.y.shape == (2, 24) and found.class_names == ()
    np.testing.assert_allclose(found.y, (7 - 128) * 2 / 255, rtol=1e-6)


def test_some_samples_are_of_all_classes(tmp_path):
    root = folder(tmp_path, a=[1] * 6, b=[2] * 6)
    assert greys(load_inputs(root, GREY, most=4)) == [1, 1, 2, 2]
    assert len(load_inputs(root, GREY, most=100)) == 12
    image(tmp_path / "flat" / "0.png", 9)
    assert greys(load_inputs(tmp_path / "flat", GREY, most=4)) == [9]


def break_file(path):
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "c").mkdir(), "/c is a class without files in .jpg"),
        (lambda root: break_file(root / "a" / "0.png"), "a/0.png is no readable image: "),
        (lambda root: postscript(root / "a" / "0.png"), "0.png is no readable image: cannot ident"),
        (lambda root: image(root / "a" / "1.png", 9, mode="I;16"), "1.png has pixels of more than"),
        (lambda root: (root / "a" / "1.wav").touch(), "holds images and recordings; give a folder"),
        (lambda root: image(root / "test" / "a" / "0.png"), "has test/ but no train/"),
        (lambda root: folder(root, train__a=[1]), "/a lies beside train/; one each is allowed of"),
        (lambda root: folder(root, b=[1], c=[1], d=[1]), "4 classes: a, b, c, d; the model has 3"),
        (lambda root: (root / "labels.csv").write_text(""), "no column path; its columns are none"),
        (lambda root: (root / "labels.csv").write_text("a,b\n"), "no column path; its columns are"),
        (lambda root: labels(root, "a/1.png,train,a"), "line 1: .*1.png does not exist"),
        (lambda root: labels(root, "a/0.png,train,"), "line 1: 0.png has no class"),
        (lambda root: labels(root, "a/0.png,dev,a"), "the split is 'dev'; allowed are train"),
        (lambda root: labels(root, "../0.png,train,a"), "../0.png lies outside of"),
        (lambda root: labels(root, "a/0\0.png,train,a"), "lies outside of"),
        (lambda root: labels(root, "a/0.png,test,a"), "has no samples to train on"),
        (lambda root: labels(root, "a/0.png,train,a\na/0.png"), "line 2 has 1 columns"),
        (lambda root: (root / "a" / "0.png").unlink(), "a is a class without files"),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_line(change, message, tmp_path):
    root = folder(tmp_path / "data", a=[1])
    change(root)
    with pytest.raises(OdtError, match=message) as error:
        load_data(root, GREY)
    assert "\n" not in str(error.value) and str(error.value).startswith("data: ")


def postscript(path):
    """A program, for which Pillow would start Ghostscript."""
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")


def labels(root, text):
    (root / "labels.csv").write_text(text)


def test_other_refusals(tmp_path):
    with pytest.raises(OdtError, match="has no samples to train on"):
        load_data(tmp_path, GREY)
    image(tmp_path / "0.png")
    with pytest.raises(OdtError, match=r"0\.png has no label: put it in a folder of its class"):
        load_data(tmp_path, GREY)
    with pytest.raises(OdtError, match=r"1, 3 or 4 channels; the model takes \(2, 4, 6\)"):
        load_data(tmp_path, taking(2, 4, 6, codes=CODES))
    with pytest.raises(OdtError, match="no training samples of it"):
        load_data(folder(tmp_path / "split", train__a=[1], test__b=[1]), GREY)


def test_without_pillow_the_command_that_brings_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").touch()
    with pytest.raises(OdtError, match=r'pip install "tvm-ondevice-train\[images\]"'):
        load_data(tmp_path, GREY)


def test_photos_of_clothes(tmp_path):
    """Every twentieth line of the real set's table, which has no header."""
    lines = shared_path("data/clothing_small/labels.csv").read_text().splitlines()[::20]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    for line in lines:
        image(tmp_path / line.split(",")[0], size=(1, 1))
    manifest = taking(1, 1, 1, codes=CODES, layout="NCHW", classes=10)
    found = load_data(tmp_path, manifest)
    sizes = [len(y) for y in (found.y, found.y_val, found.y_test)]
    splits = [line.split(",")[1] for line in lines]
    assert sizes == [splits.count(name) for name in ("train", "validation", "test")]
    assert found.class_names[0] == "dress" and len(found.class_names) == 10
