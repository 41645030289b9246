"""Training steps as text: TVMScript and JSON, read here and in a process of its own."""

import inspect
import subprocess
import sys
from functools import cache

import pytest
import tiny
import tvm
from shared import slow_after
from structure import assert_same
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from relay_passes import LowerQDQ, ReorderForMemory
from relay_passes.ops.registry import call
from relay_passes.optimizers import OPTIMIZERS, SGD, Momentum
from relay_passes.pipeline import differentiation, lowering
from tvm_ondevice_train.training_graph import loss_module

TRAINED = {"conv.weight": [0], "conv.bias": None, "head.weight": None}
MOMENTUM = Momentum(weight_decay=0.1)
ROWS = [
    (quantized, backward, optimizer)
    for quantized in (False, True)
    for backward, optimizer in [
        ("float32", SGD()),
        ("int16", MOMENTUM),
        ("bfloat16", SGD(0.1, 0.1)),
    ]
]


@cache
def steps(quantized, backward, optimizer):
    """What each pass makes, by its name, from `SparseBackward` to `LowerQDQ`."""
    module, made = loss_module(tiny.network(quantized=quantized), "cross_entropy"), {}
    for transform in [*differentiation(TRAINED, backward, optimizer), LowerQDQ()]:
        module = made[transform.info.name] = transform(module)
    return made


@pytest.mark.parametrize("quantized, backward, optimizer", ROWS)
def test_what_is_printed_is_read_again(quantized, backward, optimizer):
    for name, module in steps(quantized, backward, optimizer).items():
        text = module.script(show_meta=True)
        assert "R.odt." in text, name
        tvm.ir.assert_structural_equal(tvm.script.from_source(text), module, True)


@pytest.mark.parametrize("quantized, backward, optimizer", ROWS)
def test_json_is_read_again(quantized, backward, optimizer):
    for module in steps(quantized, backward, optimizer).values():
        tvm.ir.assert_structural_equal(tvm.ir.load_json(tvm.ir.save_json(module)), module, True)


def lowered(quantized, **options):
    step = steps(quantized, "float32", SGD())["odt.EliminateDeadGradients"]
    return ReorderForMemory(("input", "target"))(lowering(**options)(step))


def test_a_lowered_module_is_read_again():
    """That calls nothing: a call of the C runtime reads back as TVM's ``call_extern``."""
    module = lowered(False, microkernels=False)
    again = tvm.script.from_source(module.script(show_meta=True))
    tvm.ir.assert_structural_equal(again, module, True)


@pytest.mark.parametrize("quantized", [False, True])
def test_json_of_a_lowered_module_is_read_again(quantized):
    module = lowered(quantized)
    tvm.ir.assert_structural_equal(tvm.ir.load_json(tvm.ir.save_json(module)), module, True)


READ_JSON = "tvm.ir.load_json(open(sys.argv[1]).read())"
READ_SCRIPT = "tvm.script.from_source(open(sys.argv[2]).read())"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Paths of a step, as JSON and as TVMScript, with an operator of an optimizer in it."""
    module = steps(True, "int16", MOMENTUM)["odt.IntegerGradients"]
    assert "odt.momentum_velocity" in module.script()
    directory = tmp_path_factory.mktemp("saved")
    (directory / "step.json").write_text(tvm.ir.save_json(module))
    (directory / "step.py").write_text(module.script(show_meta=True))
    return [str(directory / "step.json"), str(directory / "step.py")]


def process(code, arguments):
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {code}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("read", [READ_JSON, READ_SCRIPT], ids=["json", "script"])
@pytest.mark.parametrize(
    "imports",
    slow_after(
        1,
        [
            "import tvm_ondevice_train.relay, tvm",
            "from relay_passes import InPlace; import tvm",
            "import tvm, tvm_ondevice_train",
            "import tvm, relay_passes",
        ],
    ),
)
def test_a_process_that_imports_the_package_reads_a_step(saved, imports, read):
    again = process(f"{imports}; {read}", saved)
    assert again.returncode == 0, again.stderr


def test_without_the_package_tvm_names_an_operator_of_it(saved):
    refused = process(f"import tvm; {READ_JSON}", saved)
    assert "Operator relax.odt." in refused.stderr and refused.returncode != 0


def test_the_package_alone_loads_no_tvm():
    code = "import tvm_ondevice_train, relay_passes.optimizers; print('tvm' in sys.modules)"
    assert process(code, []).stdout == "False\n"


def test_operators_of_the_shipped_optimizers_are_there():
    for optimizer in OPTIMIZERS.values():
        if optimizer.__module__.startswith("relay_passes."):
            results = {"direction", *(state.name for state in optimizer.states)}
            assert {f"{optimizer.name}_{result}" for result in results} <= set(dir(R.odt))


@I.ir_module
class Clipped:
    @R.function
    def main(x: R.Tensor((2, 3), "float32"), dy: R.Tensor((2, 3), "float32")):
        with R.dataflow():
            mask = R.odt.interval_mask(x, low=0.0, high=6.0)
            dx = R.odt.masked(mask, dy)
            R.output(dx)
        return dx


def test_operators_are_written_by_hand():
    def body(emit, x, dy):
        return emit(call("masked", emit(call("interval_mask", x, low=0.0, high=6.0)), dy))

    variables = {"x": ((2, 3), "float32"), "dy": ((2, 3), "float32")}
    assert_same(Clipped, tiny.module(variables, body))


@pytest.mark.parametrize(
    "written, message",
    [
        ("R.odt.foo(x)", "R.odt has no operator foo"),
        ("R.odt.positive_mask(x, x)", "odt.positive_mask(data, /, *, saved=False): too many"),
        ("R.odt.masked(x)", "missing a required argument: 'adjoint'"),
        ("R.odt.interval_mask(x, low=0.0)", "missing a required argument: 'high'"),
        ("R.odt.positive_mask(x, low=0.0)", "unexpected keyword argument 'low'"),
        (
            'R.odt.momentum_velocity(x, reads=["gradient", "velocity"])',
            "relax.odt.momentum_velocity reads gradient, velocity; found 1 operands",
        ),
    ],
)
def test_wrong_use_is_one_line(written, message):
    source = f'@R.function\ndef main(x: R.Tensor((2,), "float32")):\n    return {written}\n'
    with pytest.raises(tvm.error.DiagnosticError) as caught:
        tvm.script.from_source(source)
    said, *shown = str(caught.value).splitlines()
    assert said.startswith("error: ") and message in said
    assert shown[0].strip().startswith("-->"), "the line of the source follows"


@pytest.mark.parametrize("dialect", [R, tvm.script.parser.relax, tvm.script.ir_builder.relax])
def test_each_of_the_modules_that_are_called_r_has_them(dialect):
    assert {"sgd_update", "qconv2d", "masked"} <= set(dir(dialect.odt))
    assert list(inspect.signature(dialect.odt.interval_mask).parameters) == [
        *("data", "low", "high", "saved")
    ]


def test_every_operator_of_ours_is_in_the_namespace():
    registered = {name for name in tvm.ir.Op.list_op_names() if name.startswith("relax.odt.")}
    assert registered == {f"relax.odt.{name}" for name in dir(R.odt)}
    assert isinstance(R.odt.positive_mask(relax.const([1.0])), relax.Call)
