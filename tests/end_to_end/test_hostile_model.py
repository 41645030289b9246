"""A model whose names and parameters are hostile: its C is right, and its biases never overflow."""

import struct
import subprocess

import numpy as np
import pytest
from tiny import network

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.device.protocol import Frame

BIAS = 'a"b\\\n#error'
NAMES = {
    "NULL\n*/ x.weight": "int8_t",
    "NULL\n*/ x.bias": BIAS,
    "errno.weight": "EOF",
    "errno.bias": "E\0OF",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    model = network(
        quantized=True,
        names=("NULL\n*/ x", "errno"),
        name='linux\nall:\n\ttouch owned\n#*/ "??/',
        called=NAMES,
    )
    compiled = odt.compile(model, scheme="full", board="host")
    return compiled.save(tmp_path_factory.mktemp("hostile") / "project")


def test_its_c_is_clean_and_no_name_runs(project):
    flags = "-Werror -fsanitize=undefined -fno-sanitize-recover=all"
    make = ["make", "-s", "-C", project, f"EXTRA={flags}"]
    result = subprocess.run(make, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not (project / "owned").exists()


@pytest.mark.parametrize("code", [2**31 - 1, -(2**31)])
def test_biases_over_the_wire_stay_where_no_sum_overflows(code, project):
    """The program above is built with the sanitizer, which ends it at an overflow."""
    biases, sample = np.full(4, code, np.int32), np.ones((2, 6, 6), np.float32)
    with Session(project) as device:
        with pytest.raises(odt.OdtError, match=r"holds 2,147,483,64\d; the device's sums allow"):
            device.set_parameters({BIAS: biases})
        offset = device.manifest.trained_parameters[BIAS].offset
        device._request(Frame.PUT_PARAMS, struct.pack("<I", offset) + biases.tobytes())
        assert (device.parameters()[BIAS] == np.sign(code) * 2**30).all()
        assert np.isfinite(device.predict(sample)).all()
        assert np.isfinite(device.train(sample, 1))
