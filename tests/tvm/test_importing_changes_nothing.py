"""TVM does with this package imported, and used, what it does without."""

import subprocess
import sys

PROGRAM = """
import hashlib, sys
import tvm
from tvm import relax
from tvm.ir import Op
from tvm.script import ir as I, relax as R

KINDS = ("FPrimalGradient", "FLegalize", "FInferType", "FPurity", "TMixedPrecisionPolicy",
         "FRelaxInferLayout", "TOpPattern", "TScriptPrinterName")
names = [n for n in Op.list_op_names() if n.startswith(("relax.", "tirx."))]
def registered():
    found = {}
    for name in names:
        for kind in KINDS:
            if Op.get(name).has_attr(kind):
                value = Op.get(name).get_attr(kind)
                found[name, kind] = value if isinstance(value, (int, str, bool)) else None
    return found

@I.ir_module
class Net:
    @R.function
    def main(x: R.Tensor((1, 4, 4, 2), "float32"), w: R.Tensor((3, 2, 2, 2), "float32")):
        with R.dataflow():
            n = R.permute_dims(x, [0, 3, 1, 2])
            y = R.nn.relu(R.nn.conv2d(n, w))
            z = R.clip(R.nn.max_pool2d(y, (2, 2)), 0, 6) if %s else R.nn.max_pool2d(y, (2, 2))
            p = R.nn.max_pool2d(x, (2, 2), layout="NHWC")
            loss = R.add(R.sum(z), R.sum(R.abs(p)))
            R.output(loss)
        return loss

def adjoint(module):
    try:
        module = relax.transform.Gradient("main")(module)
        return relax.transform.LegalizeOps()(module).script()
    except Exception as error:
        return type(error).__name__

before = registered(), adjoint(Net)
if "import" in sys.argv:
    import relay_passes
    from tvm_ondevice_train.relay import transform
    for name in relay_passes.__all__:
        getattr(transform, name)
    step = transform.SparseBackward(["w"], target_index=None, optimizer=None)(Net)
    if "fail" in sys.argv:
        try:
            transform.SparseBackward(["v"])(Net)
        except ValueError:
            pass
    transform.lowering()(transform.EliminateDeadGradients()(step))
    assert (registered(), adjoint(Net)) == before, "TVM is not what it was"
print(hashlib.sha256(repr((registered(), adjoint(Net))).encode()).hexdigest())
"""


def printed(folder, clip: bool, *arguments: str) -> str:
    program = folder / "program.py"
    program.write_text(PROGRAM % clip)
    command = [sys.executable, "-W", "ignore", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_tvms_gradient_and_legalization_are_tvms(tmp_path):
    assert printed(tmp_path, False) == printed(tmp_path, False, "import", "fail")


def test_an_operator_without_a_rule_of_tvms_gets_none(tmp_path):
    without = printed(tmp_path, True)
    assert without == printed(tmp_path, True, "import")
