"""MLPerf Tiny models against the LiteRT interpreter.

Every integer operator gets LiteRT's own inputs. LiteRT rounds twice while requantizing, we once,
so codes near a tie may differ by 1, never by more. Measured over 10 samples (6 of noise, 4
realistic): vww_96_int8 4,964 of 2,318,100 codes (0.21 %), kws_ref_model 1,286 of 720,760
(0.18 %). With LiteRT's rounding in our kernels no code of a convolution differs: nothing else is
at work there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from ai_edge_litert.interpreter import OpResolverType
from instruments.interpreter import Interpreter
from operators import Comparison, integer_operators, photographs
from shared import shared_path

from relay_passes.memory.step import prediction
from tvm_ondevice_train.frontend import load
from tvm_ondevice_train.scheme.update_scheme import resolve
from tvm_ondevice_train.steps import build_steps

OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED")
RESOLVERS = (OpResolverType.BUILTIN_REF, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
LITERT_ROUNDING = (
    "-DODT_REQUANTIZE_H",  # its include guard: ours is left out
    f"-include{Path(__file__).with_name('litert_requantize.h')}",
)


def predictor(path, flags=()) -> Interpreter:
    """The model's prediction, kernel by kernel."""
    model = load(path)
    scheme = resolve("head", model.layers)
    _, evaluation = build_steps(model, scheme.trained, "cross_entropy", fuse=False)
    return Interpreter(prediction(evaluation), model.parameters, flags)


def vww_samples() -> list[np.ndarray]:
    return [image[16:112, 16:112].astype(np.int16) - 128 for image in photographs(4)]


def kws_samples() -> list[np.ndarray]:
    """Like a word's cepstra: smooth in time, large in the first coefficients."""
    generator = np.random.default_rng(1)
    steps = generator.normal(0, 12, (4, 49, 10, 1)) / np.arange(1, 11)[:, None]
    return list(np.clip(np.rint(83 + np.cumsum(steps, axis=1)), -128, 127))


REALISTIC = {"vww_96_int8": vww_samples, "kws_ref_model": kws_samples}


def samples(realistic) -> list[np.ndarray]:
    """(1, H, W, C) int8: 6 of noise, of several amplitudes, and the realistic ones."""
    shape = np.shape(realistic[0])
    generator = np.random.default_rng(0)
    noise = [
        np.clip(np.rint(generator.normal(0, spread, shape)), -128, 127)
        for spread in (3, 10, 30, 60, 100, 1000)
    ]
    return [np.asarray(sample, np.int8)[None] for sample in (*noise, *realistic)]


def litert(path, resolver: OpResolverType) -> LiteRT:
    """The reference, without a delegate, so that every tensor can be read."""
    reference = LiteRT(
        str(path), experimental_preserve_all_tensors=True, experimental_op_resolver_type=resolver
    )
    reference.allocate_tensors()
    return reference


def litert_codes(reference: LiteRT, sample: np.ndarray) -> list[np.ndarray]:
    """What each of `OPERATORS` gives, as (1, C, ...)."""
    reference.set_tensor(reference.get_input_details()[0]["index"], sample)
    reference.invoke()
    return [
        np.moveaxis(reference.get_tensor(op["outputs"][0]), -1, 1)
        for op in reference._get_ops_details()
        if op["op_name"] in OPERATORS
    ]


def compare(name: str, resolver: OpResolverType, flags=()) -> Comparison:
    path = shared_path(f"models/mlperf_tiny/{name}.tflite")
    ours = predictor(path, flags)
    reference = litert(path, resolver)
    operators = integer_operators(ours.step)
    found = Comparison()
    for sample in samples(REALISTIC[name]()):
        outputs = litert_codes(reference, sample)
        pairs = zip(operators, outputs, strict=True)
        codes = {op.outputs[0].name: output for op, output in pairs}
        codes[operators[0].inputs[0].name] = np.moveaxis(sample, -1, 1)
        found.add(ours, codes)
    print(f"{name}, {resolver.name}: {found}")
    return found


@pytest.mark.parametrize("resolver", RESOLVERS, ids=lambda resolver: resolver.name)
@pytest.mark.parametrize("name, limit", [("vww_96_int8", 6000), ("kws_ref_model", 1600)])
def test_integer_operators(name, limit, resolver):
    found = compare(name, resolver)
    assert found.largest <= 1
    assert found.differing <= limit


@pytest.mark.parametrize("name", REALISTIC)
def test_convolutions_with_the_rounding_of_litert(name):
    """Identical, and pools; LiteRT's dense layer multiplies scales in float32."""
    found = compare(name, OpResolverType.BUILTIN_REF, LITERT_ROUNDING)
    assert found.elements > 0
    assert not [name for name in found.operators if "dense" not in name]


def test_float_outputs():
    path = shared_path("models/mlperf_tiny/vww_96_float.tflite")
    ours = predictor(path)
    reference = litert(path, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    logits = next(
        op["outputs"][0]
        for op in reference._get_ops_details()
        if op["op_name"] == "FULLY_CONNECTED"
    )
    for image in photographs(4):
        sample = image[None, 16:112, 16:112].astype(np.float32) / 255
        reference.set_tensor(reference.get_input_details()[0]["index"], sample)
        reference.invoke()
        output = ours.run(input=sample)[ours.step.results[0].name]
        np.testing.assert_allclose(
            output.reshape(-1), reference.get_tensor(logits).reshape(-1), rtol=1e-5, atol=1e-5
        )
