"""A gradient passes through every operator that a frontend gives, and compiles."""

import numpy as np
import pytest
import tiny
from importing import imported
from test_operators import CASES
from tvm import relax

from relay_passes import SparseBackward
from relay_passes.graph import Renamer, bindings_of, dtype_of, shape_of


def step_through(function):
    """A training step in which the gradient of a factor of the input passes through `function`."""
    shapes = [("x", function.params[0]), ("target", function.params[0])]
    types = {name: (shape_of(var), "float32") for name, var in shapes}
    types |= {p.name: (shape_of(p), dtype_of(p)) for p in function.params[1:]}

    def body(emit, x, _target, *parameters):
        *others, factor = parameters
        renamed = Renamer(dict(zip(function.params[1:], others, strict=True)))
        renamed.vars[function.params[0]] = emit(relax.op.multiply(x, factor))
        for binding in bindings_of(function):
            renamed.vars[binding.var] = emit(renamed(binding.value))
        return emit(relax.op.sum(renamed(function.body.body)))

    factor = {"factor": (shape_of(function.params[0]), "float32")}
    return SparseBackward({"factor"})(tiny.module({**types, **factor}, body))


@pytest.mark.parametrize("body, shape, values", CASES)
def test_the_gradient_is_a_central_difference(body, shape, values):
    _, model = imported(body, (shape, "float32"), **values)
    step = step_through(model.module["main"])
    generator = np.random.default_rng(0)
    x = generator.uniform(0.3, 2, shape).astype(np.float32)
    factor = generator.uniform(0.7, 1.3, shape).astype(np.float32)
    direction = generator.choice(np.array([-1, 1], np.float32), shape)

    def loss(step_size: float) -> float:
        moved = (factor.astype(np.float64) + step_size * direction).astype(np.float32)
        arguments = {"x": x, "target": x, "factor": moved, **model.parameters}
        constants = {"learning_rate": np.float32(0), "seed": np.uint32(0)}
        return float(tiny.run(step, **constants, **arguments)[0])

    arguments = {"x": x, "target": x, "factor": factor, **model.parameters}
    (gradient,) = tiny.gradients(step, **arguments).values()
    size = 2**-9
    expected = (loss(size) - loss(-size)) / (2 * size)
    scale = max(1.0, np.abs(gradient).sum())
    assert abs((gradient * direction).sum() - expected) <= 2e-2 * scale
