"""Recordings in .wav files: cut, filled, mixed and refused; as samples and as features."""

import wave

import numpy as np
import pytest
from manifests import taking
from shared import shared_path

from tvm_ondevice_train.data import Reading, load_data
from tvm_ondevice_train.data.audio.front_end import FrontEnd
from tvm_ondevice_train.data.audio.library import Features
from tvm_ondevice_train.errors import OdtError

SOUND = np.random.default_rng(0).integers(-9000, 9000, 3000).astype(np.int16)
TEXT = "log-mel,rate=8000,window=20,hop=10,bands=12"
FRONT_END = FrontEnd.parse(TEXT)
SAMPLES = FRONT_END.samples_of(9)


def record(path, samples=SOUND, rate=8000, channels=1, width=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(samples if isinstance(samples, bytes) else samples.tobytes())
    return path.parent.parent


def loaded(root, *shape, audio=TEXT, say=lambda line: None):
    return load_data(root, taking(*shape), Reading.of(audio=audio), say=say)


@pytest.mark.parametrize(
    ("shape", "transposed"),
    [((9, 12), False), ((9, 12, 1), False), ((1, 9, 12), False), ((12, 9), True)],
)
def test_features_lie_as_the_model_takes_them(shape, transposed, tmp_path):
    root = record(tmp_path / "yes" / "0.wav")
    expected = Features(FRONT_END)(SOUND[:SAMPLES].copy(), 9)
    x = loaded(root, *shape).x
    assert x.shape == (1, *shape) and x.dtype == np.float32
    found = x.reshape(12, 9).T if transposed else x.reshape(9, 12)
    np.testing.assert_array_equal(found, expected)


def test_the_rate_is_that_of_the_recordings_and_all_is_said(tmp_path):
    root = record(tmp_path / "yes" / "0.wav")
    record(tmp_path / "no" / "0.wav", SOUND[:100])
    lines = []
    text = "log-mel,window=20,hop=10,bands=12"
    found = load_data(root, taking(9, 12), Reading.of(audio=text), say=lines.append)
    assert found.class_names == ("no", "yes")
    assert lines[0].endswith(f"recordings, 9 frames of --audio {FRONT_END}")
    assert lines[1:3] == [
        "data: 1 recordings were cut to 0.1 s",
        "data: 1 recordings were filled with silence to 0.1 s",
    ]
    silence = np.pad(SOUND[:100], (0, SAMPLES - 100))
    np.testing.assert_array_equal(found.x[0], Features(FRONT_END)(silence, 9))


@pytest.mark.parametrize("shape", [(1, 2000), (2000,), (2000, 1)])
def test_a_model_of_one_axis_takes_the_samples(shape, tmp_path):
    root = record(tmp_path / "a" / "0.wav")
    x = load_data(root, taking(*shape)).x
    np.testing.assert_array_equal(x.reshape(-1), SOUND[:2000] / np.float32(32768))


def test_every_width_is_16_bits_and_channels_are_mixed(tmp_path):
    exact = SOUND[:2000] & ~0xFF  # what 8 bits hold
    wide = np.zeros((2000, 3), np.uint8)
    wide[:, 1:] = exact.view(np.uint8).reshape(-1, 2)
    stereo = np.stack([exact + 2, exact - 2], axis=1)
    record(tmp_path / "a" / "1.wav", ((exact >> 8) + 128).astype(np.uint8), width=1)
    record(tmp_path / "a" / "2.wav", exact)
    record(tmp_path / "a" / "3.wav", wide, width=3)
    record(tmp_path / "a" / "4.wav", exact.astype(np.int32) << 16, width=4)
    root = record(tmp_path / "a" / "5.wav", stereo, channels=2)
    for x in load_data(root, taking(2000)).x:
        np.testing.assert_array_equal(x, exact / np.float32(32768))


def without_rate(path):
    record(path)
    path.write_bytes(path.read_bytes()[:24] + bytes(4) + path.read_bytes()[28:])


def cut(path):
    record(path)
    path.write_bytes(path.read_bytes()[:-100])


def test_a_recording_out_of_a_pipe_has_no_length_in_its_header(tmp_path):
    root = record(tmp_path / "a" / "0.wav")
    content = bytearray((root / "a" / "0.wav").read_bytes())
    content[40:44] = b"\xff" * 4
    (root / "a" / "0.wav").write_bytes(content)
    np.testing.assert_array_equal(load_data(root, taking(3000)).x[0], SOUND / np.float32(32768))


@pytest.mark.parametrize(
    ("audio", "shape", "change", "message"),
    [
        (TEXT, (9, 12), lambda p: record(p, rate=16000), "16,000 samples a second, and 8,000 are"),
        (TEXT, (9, 12), lambda p: record(p, SOUND[:0]), "bad.wav is empty"),
        (TEXT, (9, 12), lambda p: p.write_bytes(b"RIFF"), "bad.wav is no readable .wav file"),
        (TEXT, (9, 12), lambda p: p.write_bytes(b""), "a part of it is missing"),
        (TEXT, (9, 12), lambda p: cut(p), "bad.wav is no readable .wav file: a part of it is mis"),
        (TEXT, (9, 12), lambda p: without_rate(p), "it has no samples a second"),
        (TEXT, (9, 13), lambda p: None, r"takes \(9, 13\), and a frame has 12 features: give"),
        (TEXT, (3, 9, 12), lambda p: None, "a frame has 12 features"),
        (None, (9, 12), lambda p: None, "a frame has 40 features"),
        ("log-mel,rate=9000,bands=12", (9, 12), lambda p: None, "8,000 samples a second, and 9,0"),
    ],
)
def test_recordings_that_cannot_be_read_are_one_line(audio, shape, change, message, tmp_path):
    root = record(tmp_path / "a" / "0.wav")
    change(tmp_path / "a" / "bad.wav")
    with pytest.raises(OdtError, match=message):
        loaded(root, *shape, audio=audio)


def test_spoken_digits(tmp_path):
    """Ten of the real recordings, with the front end of a keyword network."""
    import zipfile

    names = [f"{digit}_jackson_0.wav" for digit in range(10)]
    with zipfile.ZipFile(shared_path("data/fsdd/recordings.zip")) as archive:
        members = {name.rpartition("/")[2]: name for name in archive.namelist()}
        for name in names:
            (tmp_path / name).write_bytes(archive.read(members[name]))
    (tmp_path / "labels.csv").write_text("".join(f"{name},{name[0]}\n" for name in names))
    reading = Reading.of(audio="mfcc,window=40,hop=20,coefficients=10")
    found = load_data(tmp_path, taking(49, 10, 1, classes=10), reading)
    assert found.y.tolist() == list(range(10)) and found.x.shape == (10, 49, 10, 1)
    assert np.isfinite(found.x).all() and found.x.std() > 1
