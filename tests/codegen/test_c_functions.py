"""Which functions of the runtime compute the intrinsics of TIR."""

import pytest

from tvm_ondevice_train.codegen.c_functions import c_function

NAMES = ("erf", "exp", "fabs", "floor", "log", "nearbyint", "sigmoid", "sqrt", "tanh")


@pytest.mark.parametrize("name", NAMES)
def test_a_function_of_the_header_is_found_by_the_name_of_the_intrinsic(name):
    assert c_function(name) == f"odt_{name}f"


@pytest.mark.parametrize("name", ["round", "rint"])
def test_rounding_is_to_the_nearest_whatever_it_is_called(name):
    assert c_function(name) == "odt_nearbyintf"


@pytest.mark.parametrize("name", ["sin", "with_sign_o", "bits_o", "power_of_two", ""])
def test_others_have_none(name):
    assert c_function(name) is None
