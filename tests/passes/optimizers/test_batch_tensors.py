"""What batches keep, by name, shape and format."""

import pytest

from relay_passes.optimizers import SGD, Accumulation, Momentum, batch_tensors

PARAMETERS = {
    "w": ((8, 4, 1, 1), "int8"),
    "w.accumulator": ((8,), "int32"),
    "short": ((8, 3), "int8"),
    "real": ((8, 4), "float32"),
    "batch": ((2, 9), "int8"),
}
TRAINED = [name for name in PARAMETERS if name != "batch"]


@pytest.mark.parametrize(
    ("accumulator", "coded"),
    [("float32", set()), ("auto", {"w"}), ("int16", {"w", "real"})],
)
def test_matrices_of_codes_have_sums_of_codes(accumulator, coded):
    """Vectors and short rows have none: their peaks would take what codes spare."""
    found = batch_tensors(Accumulation(SGD(), accumulator), TRAINED, PARAMETERS)
    assert {name for name, one in found.sums.items() if one.dtype == "int16"} == coded
    assert all(one.shape == PARAMETERS[name][0] for name, one in found.sums.items())
    assert list(found.sums) == TRAINED


def test_names_are_unlike_those_of_parameters_and_states():
    found = batch_tensors(Accumulation(Momentum()), ["w", "w.accumulator"], PARAMETERS)
    assert found.sums["w"].name == "w.accumulator_"
    assert found.sums["w"].peaks == "w.accumulator_peak"
    assert found.sums["w.accumulator"].name == "w.accumulator.accumulator"
    assert (found.count, found.size) == ("accumulated", "batch_")
