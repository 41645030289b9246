"""Functions as an importer gives them, and what the frontend makes of them."""

from __future__ import annotations

import numpy as np
import tiny

from tvm_ondevice_train.file_forms import FORMS
from tvm_ondevice_train.frontend.canonicalize import Canonicalizer


def weights(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed + len(shape)).normal(0, 0.5, shape).astype(np.float32)


def imported(body, source_input, **values: np.ndarray):
    """``(source module, canonical model)`` of body(emit, x, *parameters)."""
    types = {n: (v.shape, str(v.dtype)) for n, v in values.items()}
    source = tiny.module({"x": source_input, **types}, body)
    function = source["main"]
    parameters = {var: (var.name, values[var.name]) for var in function.params[1:]}
    return source, Canonicalizer("net", function, parameters, FORMS).run(function.params[0])


def result(module, x, values) -> np.ndarray:
    return tiny.run(module, x=x, **values)[0].reshape(-1)
