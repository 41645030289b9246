"""The front end for sound: against PyTorch and SciPy, and to the bit on devices."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from manifests import taking
from shared import slow

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.cli import main
from tvm_ondevice_train.data.audio.front_end import FrontEnd
from tvm_ondevice_train.data.audio.library import Features
from tvm_ondevice_train.data.audio.mel import mel_filters
from tvm_ondevice_train.data.audio.tables import as_header
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.project import generate_project, runtime_dir

STRICT = (
    "-std=c99 -Wall -Wextra -Wpedantic -Wundef -Wconversion -Wmissing-prototypes -Werror".split()
)
SMALL = "mfcc,rate=8000,window=20,hop=12.5,bands=24,coefficients=12"  # 60 features of 5 frames


def sound(count: int, seed: int = 0) -> np.ndarray:
    """int16: a falling tone in noise, and silence behind it."""
    generator = np.random.default_rng(seed)
    time = np.arange(count) / 8000
    tone = 9000 * np.sin(2 * np.pi * (700 * time - 200 * time**2)) * np.exp(-4 * time)
    noisy = tone + generator.normal(0, 60, count)
    return (noisy * (np.arange(count) < 0.8 * count)).astype(np.int16)


def hertz_of_htk(mel):
    return 700 * (10 ** (mel / 2595) - 1)


def expected_of(front_end: FrontEnd, samples: np.ndarray, frames: int) -> np.ndarray:
    """float64 (frames, features), by torch.stft and SciPy's DCT."""
    size = front_end.fft
    window = torch.zeros(size, dtype=torch.float64)
    count = front_end.window_samples
    window[:count] = torch.hann_window(count, dtype=torch.float64)
    padded = torch.tensor(np.pad(samples, (0, size)) / 32768)
    spectrum = torch.stft(
        padded, size, front_end.hop_samples, size, window, center=False, return_complex=True
    )
    weighted = spectrum.abs() ** (1 if front_end.spectrum == "magnitude" else 2)
    energies = torch.tensor(front_end.filters(), dtype=torch.float64) @ weighted[:, :frames]
    logs = torch.log(energies + front_end.offset).T.numpy()
    if front_end.kind == "log-mel":
        return logs
    return scipy.fft.dct(logs, norm="ortho", axis=1)[:, : front_end.coefficients]


@pytest.mark.parametrize(
    "text",
    [
        "log-mel,rate=8000",
        "log-mel,rate=16000,window=25,hop=10,bands=64,mel=slaney",
        "log-mel,rate=16000,window=30,hop=20,spectrum=magnitude",
        "mfcc,rate=16000,window=30,hop=20,bands=40,coefficients=10,low=20,high=4000",
        "mfcc,rate=44100,coefficients=40,offset=1e-9",
        SMALL,
        "log-mel,rate=1000,window=4,hop=1,bands=1",
    ],
)
def test_features_are_those_of_pytorch_and_scipy(text):
    front_end = FrontEnd.parse(text)
    samples = sound(front_end.samples_of(30))
    found = Features(front_end)(samples, 30)
    np.testing.assert_allclose(found, expected_of(front_end, samples, 30), atol=1e-4)


def test_triangles_of_htk_are_those_of_their_definition():
    """Each corner is a mel apart from its neighbours; a bin's weight is where it lies between."""
    corners = hertz_of_htk(np.linspace(2595 * np.log10(1 + 20 / 700), 2840.0230467083, 42))
    bins = np.arange(257) * 31.25
    expected = np.array([np.interp(bins, corners[i : i + 3], [0, 1, 0]) for i in range(40)])
    found = mel_filters("htk", 40, 512, 16000, 20, 8000)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_scale_of_slaney_is_straight_to_1000_hz_and_logarithmic_above():
    """Malcolm Slaney's Auditory Toolbox: 66.667 Hz a mel, then 27 mels for a factor of 6.4."""
    filters = mel_filters("slaney", 41, 8192, 16000, 0, 6400)
    peaks = filters.argmax(axis=1) * 16000 / 8192
    np.testing.assert_allclose(peaks[:14], np.arange(1, 15) * 1000 / 15, atol=2)
    np.testing.assert_allclose(peaks[14:], 1000 * 6.4 ** (np.arange(27) / 27), atol=2)
    np.testing.assert_allclose(filters.sum(axis=1) * 16000 / 8192, 1, rtol=2e-3)


def test_text_says_a_front_end_whole():
    text = "mfcc,rate=16000,window=30,hop=20,bands=40,coefficients=10"
    front_end = FrontEnd.parse(text)
    whole = f"{text},low=20,high=8000,mel=htk,spectrum=power,offset=1e-06"
    assert str(front_end) == whole
    assert FrontEnd.parse(whole).filters().tolist() == front_end.filters().tolist()
    assert str(FrontEnd()) == (
        "log-mel,window=32,hop=16,bands=40,low=20,mel=htk,spectrum=power,offset=1e-06"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bark", "'bark' is unknown; allowed are log-mel, mfcc, rate, window"),
        ("mfcc,log-mel", "give log-mel or mfcc, once"),
        ("rate=0", "rate is '0'; it must be an integer from 1000 to 192000"),
        ("rate=16k", "rate is '16k'"),
        ("hop=1,2", "hop is '1,2'; it must be a number"),
        ("mel=bark", "mel is 'bark'; allowed: htk or slaney"),
        ("coefficients=4", "coefficients are of mfcc"),
        ("mfcc,coefficients=41", "coefficients is 41; there are 40 bands"),
        ("rate=8000,high=5000", "bands lie from 20 to 5000 Hz; at 8,000 Hz they end at 4000"),
        ("rate=16000,bands=128", "band 3 of 128 lies between two of the 256 bins"),
        (
            "rate=96000,window=100",
            "at 96,000 Hz the window has 9600 samples and the hop 1536; allowed",
        ),
    ],
)
def test_a_front_end_that_is_none_is_one_line(text, message):
    with pytest.raises(OdtError, match=f"^--audio: {message}"):
        FrontEnd.parse(text)


def project(directory, board):
    """That of a program which gives the features of what it is handed."""
    model = Path(__file__).with_name("audio_model")
    files = {name: (model / name).read_text() for name in ("model.c", "model.h")}
    files["odt_audio_front_end.h"] = as_header(FrontEnd.parse(SMALL))
    row = find_board(board)
    platform = "host" if row.is_host else "baremetal"
    manifest = taking(1024, classes=60)
    return generate_project(files, manifest, row, platform, directory)


@pytest.mark.parametrize(
    "board",
    [
        "host",
        "mps2-an500",
        pytest.param("mps3-an547", marks=slow),
        pytest.param("virt-rv32imac", marks=slow),
    ],
)
def test_devices_compute_the_same_bits(board, tmp_path):
    front_end = FrontEnd.parse(SMALL)
    samples = sound(1024)
    expected = Features(front_end)(samples[: front_end.samples_of(5)].copy(), 5)
    directory = project(tmp_path / "project", board)
    build(directory)
    with Session(directory) as device:
        found = device.predict(samples.astype(np.float32))
    np.testing.assert_array_equal(found.reshape(12, 5).T, expected, strict=True)


@pytest.mark.parametrize("compiler", ["gcc -O0", "gcc -O3", "arm-none-eabi-gcc -mcpu=cortex-m4"])
def test_the_c_compiles_under_every_warning(compiler, tmp_path):
    (tmp_path / "odt_audio_front_end.h").write_text(as_header(FrontEnd.parse("rate=8000")))
    (tmp_path / "use.c").write_text(
        '#include "odt_audio_front_end.h"\n'
        "int32_t use(void);\n"
        "int32_t use(void) { return odt_audio_features(&odt_audio_front_end)"
        " + odt_audio_work(&odt_audio_front_end) + odt_audio_samples(&odt_audio_front_end, 3); }\n"
    )
    include = f"-I{runtime_dir() / 'include'}"
    command = [*compiler.split(), *STRICT, include, "-c", "use.c"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_the_command_writes_the_header(tmp_path, capsys):
    assert main(["audio-frontend", SMALL, "--output", str(tmp_path / "firmware")]) == 0
    written = tmp_path / "firmware" / "odt_audio_front_end.h"
    assert written.read_text() == as_header(FrontEnd.parse(SMALL))
    assert "12 features a frame" in capsys.readouterr().out
    assert main(["audio-frontend", "log-mel", "-o", str(tmp_path)]) == 2
    assert "log-mel has no rate; say it" in capsys.readouterr().err
