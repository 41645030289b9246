"""What words and patterns mean among the parameters that train."""

import re

import pytest

from relay_passes.layer_words import Layer, meant_by, rates_of

LAYERS = (Layer("a", "a.weight", "a.bias", ("a.slope",)), Layer("fc", "fc", "fc_b"))
NAMES = ["a.weight", "a.bias", "a.slope", "fc", "fc_b"]


@pytest.mark.parametrize(
    "pattern, meant",
    [
        ("head", ["fc", "fc_b"]),
        ("weight", ["a.weight", "fc"]),
        ("bias", ["a.bias", "fc_b"]),
        ("a.*", ["a.weight", "a.bias", "a.slope"]),
        ("fc", ["fc"]),
    ],
)
def test_a_pattern_means_what_trains(pattern, meant):
    assert meant_by(pattern, LAYERS, NAMES) == meant


def test_a_parameter_of_a_words_name_is_meant_first():
    assert meant_by("bias", LAYERS, ["bias", "a.bias"]) == ["bias"]


def test_of_several_the_last_holds():
    pairs = ("weight", 2.0), ("fc*", 3.0), ("a.weight", 4.0)
    assert rates_of(pairs, LAYERS, NAMES) == {"a.weight": 4.0, "fc": 3.0, "fc_b": 3.0}


@pytest.mark.parametrize("pattern", ["head", "A.weight", "b*"])
def test_a_pattern_of_nothing_is_refused(pattern):
    said = f'lr_scale: "{pattern}" means nothing that trains; allowed are head, weight, bias'
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        meant_by(pattern, LAYERS, NAMES[:3])
    assert "there are a.weight, a.bias, a.slope" in str(caught.value)
