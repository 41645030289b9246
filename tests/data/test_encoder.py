"""Pixels, normalization and layouts, against their definitions."""

import numpy as np
import pytest
import torch
from manifests import CODES, taking

from tvm_ondevice_train.data import Reading, load_data
from tvm_ondevice_train.data import encoder as encoder_module
from tvm_ondevice_train.data.encoder import Encoder
from tvm_ondevice_train.data.layout import arranged
from tvm_ondevice_train.data.normalization import Normalization
from tvm_ondevice_train.errors import OdtError

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (5, 3, 4, 6), np.uint8)
ALL = np.arange(256, dtype=np.uint8)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def encoded(x, manifest, normalize=None, say=lambda line: None):
    normalization = None if normalize is None else Normalization.parse(normalize)
    return Encoder(manifest, normalization, say)(x, "x")


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [
        ("0..1", PIXELS / 255),
        ("-1..1", PIXELS / 127.5 - 1),
        ("none", PIXELS.astype(float)),
        ("mean=0.5,std=0.25", (PIXELS / 255 - 0.5) / 0.25),
    ],
)
def test_pixels_become_reals(normalize, expected):
    found = encoded(PIXELS, taking(3, 4, 6), normalize)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_imagenet_is_what_torchvision_does():
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in IMAGENET)
    expected = ((torch.tensor(PIXELS) / 255 - mean) / std).numpy()
    by_name = encoded(PIXELS, taking(3, 4, 6, layout="NCHW"), "imagenet")
    np.testing.assert_array_equal(by_name, expected)
    text = "mean=0.485,0.456,0.406,std=0.229,0.224,0.225"
    last = encoded(PIXELS.transpose(0, 2, 3, 1), taking(4, 6, 3, layout="NHWC"), text)
    np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), expected)


@pytest.mark.parametrize(
    "codes",
    [CODES, (1 / 128, 0), (1 / 127.5, -1), (1 / 255, -128), (1 / 256, -128), (1.0, -128)],
)
def test_a_pixel_is_a_code_where_the_codes_are_those_of_pixels(codes):
    lines = []
    found = encoded(ALL[None], taking(256, codes=codes), say=lines.append)
    np.testing.assert_array_equal(found[0], ALL.astype(int) - 128)
    assert len(lines) == 1 and "p - 128" in lines[0]


def test_a_range_that_is_that_of_the_codes_but_for_half_of_one_has_no_ties():
    """p / 127.5 - 1 lies between two codes of MCUNet's scale for every p."""
    found = encoded(ALL[None], taking(256, codes=CODES), "-1..1")
    np.testing.assert_array_equal(found[0], ALL.astype(int) - 128)


def test_other_ranges_are_quantized():
    found = encoded(ALL[None], taking(256, codes=(0.02, -10)), "-1..1")
    expected = np.clip(np.rint((ALL / 127.5 - 1) / 0.02) - 10, -128, 127)
    np.testing.assert_array_equal(found[0], expected)


def test_measured_values_are_normalized_by_channel():
    x = RANDOM.normal(5, 2, (4, 3, 7))
    found = encoded(x, taking(3, 7), "mean=1,2,3,std=1,2,4")
    mean, std = (np.array(v).reshape(3, 1) for v in ([1, 2, 3], [1, 2, 4]))
    np.testing.assert_allclose(found, (x - mean) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_a_large_set_in_parts_is_what_it_is_in_one(dtype, monkeypatch):
    x = PIXELS.astype(dtype)
    manifest = taking(3, 4, 6, codes=(0.02, -10))
    normalize = "0..1" if dtype == np.uint8 else "mean=1,std=100"
    whole = encoded(x, manifest, normalize)
    monkeypatch.setattr(encoder_module, "_PART_ELEMENTS", 2 * 72)
    np.testing.assert_array_equal(encoded(x, manifest, normalize), whole)
    with pytest.raises(OdtError, match=r"x\[4:5\] holds NaN or infinity in sample 0"):
        encoded(np.where(np.arange(5)[:, None, None, None] == 4, np.nan, PIXELS), manifest)


@pytest.mark.parametrize(
    ("shape", "layout", "given", "axes"),
    [
        ((3, 4, 6), "NCHW", (4, 6, 3), (0, 3, 1, 2)),
        ((3, 4, 6), None, (4, 6, 3), (0, 3, 1, 2)),
        ((4, 6, 3), "NHWC", (3, 4, 6), (0, 2, 3, 1)),
    ],
)
def test_channels_move_to_where_the_model_has_them(shape, layout, given, axes):
    x = RANDOM.normal(size=(2, *given)).astype(np.float32)
    lines = []
    found = encoded(x, taking(*shape, layout=layout), say=lines.append)
    np.testing.assert_array_equal(found, x.transpose(axes))
    assert found.flags.c_contiguous and len(lines) == 1
    pixels = encoded(x.astype(np.uint8), taking(*shape, layout=layout), "none")
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("given", [(28, 20), (28, 20, 1), (1, 28, 20)])
def test_axes_of_one_may_lie_elsewhere(given):
    x = RANDOM.normal(size=(2, *given)).astype(np.float32)
    found = encoded(x, taking(1, 28, 20, layout="NCHW"), say=pytest.fail)
    np.testing.assert_array_equal(found.reshape(-1), x.reshape(-1))


def test_what_fits_in_no_way_stays_and_is_refused():
    x = np.zeros((2, 4, 6, 3), np.float32)
    assert arranged(x, (4, 6, 4), None)[0] is x
    with pytest.raises(OdtError, match=r"x has shape \(2, 4, 6, 3\); the model takes \(N, 3, 4, 7"):
        encoded(x, taking(3, 4, 7))
    with pytest.raises(OdtError, match="x has shape"):  # not against what the network says
        encoded(x, taking(3, 4, 6, layout="NHWC"))


@pytest.mark.parametrize(
    ("manifest", "x", "normalize", "message"),
    [
        (taking(3, 4, 6), PIXELS, None, r"takes float32; say .*--normalize 0..1, -1..1, imagenet"),
        (taking(3, 4, 6, codes=(0.02, -10)), PIXELS, None, "int8 codes of -2.36 to 2.74; say how"),
        (taking(3, 4, 6), PIXELS / 1.0, "-1..1", "-1..1 is for pixels of 8 bits"),
        (taking(3, 4, 6), PIXELS.astype(int), "0..1", "x is int64; --normalize takes uint8 or fl"),
        (taking(3, 4, 6), PIXELS, "mean=1,2,std=1,2", "is for 2 channels; a sample has 3"),
        (taking(72), PIXELS.reshape(5, 72), "imagenet", "3 channels; a sample has unknown"),
    ],
)
def test_what_cannot_be_read_is_one_line(manifest, x, normalize, message):
    with pytest.raises(OdtError, match=message):
        encoded(x, manifest, normalize)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1..2", "'1..2' is unknown; allowed are 0..1"),
        ("mean=1", "std must be a number"),
        ("mean=1,std=0", "std is 0; it must be above 0"),
        ("mean=1,2,std=1", "mean has 2 numbers and std 1"),
        ("mean=nan,std=1", "mean must be a number"),
        ("mean=1,mean=2,std=1", "mean is given twice"),
        ("mode=1", "'mode=1' is unknown; allowed are mean, std"),
    ],
)
def test_a_normalization_that_is_none_is_one_line(text, message):
    with pytest.raises(OdtError, match=f"^--normalize: {message}"):
        Normalization.parse(text)


def test_a_validation_set_and_names_of_labels_are_kept(tmp_path):
    x, y = RANDOM.normal(size=(4, 6)), np.arange(4) % 3
    arrays = {"x": x, "y": y, "x_val": x[:2], "y_val": y[:2]}
    found = load_data(arrays, taking(6), Reading.of(class_names="a, b,c", limit=3))
    assert len(found.x) == len(found.y) == 3 and len(found.x_val) == 2
    assert found.class_names == ("a", "b", "c") and found.x_test is None
    with pytest.raises(OdtError, match="class_names has 4 names; the model has 3 classes"):
        load_data(arrays, taking(6), Reading.of(class_names="a,b,c,d"))
    with pytest.raises(OdtError, match="class_names has 'a' twice"):
        Reading.of(class_names="a,b,a")
    with pytest.raises(OdtError, match="class_names has an empty name"):
        Reading.of(class_names=["a", ""])
    (tmp_path / "names.txt").write_text("a\nb\n")
    assert Reading.of(class_names=str(tmp_path / "names.txt")).class_names == ("a", "b")
    with pytest.raises(OdtError, match="stride must be at least 1, not 0"):
        Reading.of(stride=0)
