"""Training samples that differ from step to step, and are the same for the same seed and step."""

import numpy as np
import pytest
from manifests import CODES, taking

from tvm_ondevice_train.data import Reading, load_data
from tvm_ondevice_train.data.augmentation import Augmentation
from tvm_ondevice_train.errors import OdtError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(3, 2, 6, 8)).astype(np.float32)
LABELS = np.arange(3)
NCHW = taking(2, 6, 8, layout="NCHW")


def steps(augment, x=IMAGES, manifest=NCHW, count=40, seed=0):
    """The first sample, as so many steps train on it."""
    data = load_data((x, LABELS), manifest, Reading.of(augment=augment))
    return [data.training_sample(0, seed, step)[0] for step in range(count)]


def test_without_it_a_step_trains_on_the_sample_as_it_is():
    data = load_data((IMAGES, LABELS), NCHW)
    x, y = data.training_sample(2, 0, 17)
    assert np.shares_memory(x, data.x) and y == 2


def test_a_step_is_a_function_of_seed_and_step():
    augment = "flip,shift=2,scale=0.1,brightness=0.2,cutout=2,noise=0.05"
    first, again = steps(augment), steps(augment)
    np.testing.assert_array_equal(first, again)
    data = load_data((IMAGES, LABELS), NCHW, Reading.of(augment=augment))
    for step in (39, 3, 17):  # in any order, as a run that is resumed has them
        np.testing.assert_array_equal(data.training_sample(0, 0, step)[0], first[step])
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, steps(augment, seed=1))
    np.testing.assert_array_equal(data.x, IMAGES)


def test_flip_turns_the_last_axis_in_half_of_the_steps():
    found = [np.array_equal(x, IMAGES[0, :, :, ::-1]) for x in steps("flip", count=100)]
    assert 30 < sum(found) < 70
    assert all(
        np.array_equal(x, IMAGES[0]) for x, f in zip(steps("flip"), found, strict=False) if not f
    )
    last = taking(6, 8, 2, layout="NHWC")
    x = IMAGES.transpose(0, 2, 3, 1)
    flipped = [np.array_equal(found, x[0, :, ::-1]) for found in steps("flip", x, last)]
    assert any(flipped)


def test_shift_repeats_the_edge():
    """Each step shows the image that lies so many rows and columns beside, of a wider one."""
    wide = np.pad(IMAGES[0], ((0, 0), (2, 2), (2, 2)), mode="edge")
    views = {(i, j): wide[:, i : i + 6, j : j + 8] for i in range(5) for j in range(5)}
    seen = set()
    for x in steps("shift=2", count=200):
        seen |= {place for place, view in views.items() if np.array_equal(x, view)}
    assert seen == set(views)


@pytest.mark.parametrize(
    ("augment", "of", "low", "high"),
    [
        ("scale=0.5", lambda x: (x / IMAGES[0]).mean(), 0.5, 1.5),
        ("brightness=0.5", lambda x: (x - IMAGES[0]).mean(), -0.5, 0.5),
    ],
)
def test_one_number_changes_the_whole_sample(augment, of, low, high):
    found = np.array([of(x) for x in steps(augment, count=300)])
    assert low <= found.min() < low + 0.1 and high - 0.1 < found.max() <= high
    assert abs(found.mean() - (low + high) / 2) < 0.1


def test_noise_has_the_deviation_that_was_asked_for():
    noise = np.array(steps("noise=0.1", count=200)) - IMAGES[0]
    assert abs(noise.std() - 0.1) < 0.003 and abs(noise.mean()) < 0.003


def test_cutout_is_a_square_of_the_mean():
    for x in steps("cutout=3"):
        changed = np.argwhere(x != IMAGES[0])
        assert len(changed) == 2 * 9 and len(np.unique(x[x != IMAGES[0]])) == 1
        assert x[tuple(changed[0])] == pytest.approx(IMAGES[0].mean())
        assert np.ptp(changed[:, 1]) == np.ptp(changed[:, 2]) == 2


def test_codes_are_changed_as_the_reals_that_they_stand_for():
    manifest = taking(2, 6, 8, codes=(0.05, -3), layout="NCHW")
    data = load_data((IMAGES, LABELS), manifest, Reading.of(augment="brightness=0.5"))
    real = (data.x[0].astype(np.float32) + 3) * np.float32(0.05)
    offsets = set()
    for step in range(30):
        x, _ = data.training_sample(0, 0, step)
        assert x.dtype == np.int8
        inside = np.abs(x.astype(int)) < 127
        apart = ((x.astype(np.float32) + 3) * np.float32(0.05) - real)[inside]
        assert np.ptp(apart) < 0.051
        offsets.add(round(float(apart.mean()), 2))
    assert len(offsets) > 10


def test_time_alone_is_shifted_where_there_is_time():
    x = RANDOM.normal(size=(3, 2, 9)).astype(np.float32)
    wide = np.pad(x[0], ((0, 0), (1, 1)), mode="edge")
    views = [wide[:, i : i + 9] for i in range(3)]
    for found in steps("shift=1", x, taking(2, 9)):
        assert any(np.array_equal(found, view) for view in views)


@pytest.mark.parametrize(
    ("augment", "manifest", "message"),
    [
        ("turn", NCHW, "'turn' is unknown; allowed are flip, shift, scale"),
        ("flip=1", NCHW, "flip has no value, not '1'"),
        ("shift=1.5", NCHW, "shift is '1.5'; it must be an integer from 0"),
        ("shift", NCHW, "shift is ''"),
        ("noise=-1", NCHW, "noise is '-1'; it must be a number from 0 to 1e.30"),
        ("noise=inf", NCHW, "noise is 'inf'; it must be a number from 0 to 1e.30"),
        ("scale=2", NCHW, "scale is '2'; it must be a number from 0 to 1"),
        ("noise=1,noise=2", NCHW, "noise is given twice"),
        ("shift=6", NCHW, "shift is 6; a sample has 6 along that axis"),
        ("flip", taking(96), "flip is for images"),
        ("cutout=2", taking(96), r"which axis of \(96,\) to shift is not known"),
    ],
)
def test_what_cannot_be_done_is_one_line(augment, manifest, message):
    x = IMAGES.reshape(3, *manifest.sample_shape)
    with pytest.raises(OdtError, match=f"^--augment: {message}"):
        load_data((x, LABELS), manifest, Reading.of(augment=augment))


def test_codes_without_a_scale_stay_as_they_are():
    manifest = taking(96, codes=(None, None))
    with pytest.raises(OdtError, match="int8 codes without a scale"):
        load_data(
            (IMAGES.astype(np.int8).reshape(3, 96), LABELS), manifest, Reading.of(augment="noise=1")
        )
    assert Augmentation.parse("noise=0") == Augmentation() and CODES
