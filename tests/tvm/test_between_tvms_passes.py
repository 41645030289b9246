"""TVM's passes before and behind ours: the numbers are PyTorch's, or one line says why not."""

import numpy as np
import pytest
import tvm
import tvm_user as user
from shared import slow_after
from tvm import relax
from tvm.relax import transform as theirs

from tvm_ondevice_train.relay import transform as ours

NETWORK, DATA = user.seeded(), user.image()
FORWARD, VALUES = user.imported(NETWORK, DATA)
LOSS = ours.AppendLoss("cross_entropy")(FORWARD)
EXPECTED = user.torch_step(NETWORK, DATA)
OPERANDS = {**VALUES, "x": DATA.numpy(), "target": np.array([user.LABEL], np.int32)}
BACKWARD = [ours.SparseBackward(), ours.EliminateDeadGradients()]

NHWC = theirs.ConvertLayout({"relax.nn.conv2d": ["NHWC", "OHWI"]})
EITHER_SIDE = {
    "nothing": [],
    "FoldConstant": [theirs.FoldConstant()],
    "Normalize": [theirs.Normalize()],
    "CanonicalizeBindings": [theirs.CanonicalizeBindings()],
    "ConvertToDataflow": [theirs.ConvertToDataflow()],
    "ToNonDataflow": [theirs.ToNonDataflow()],
    "ToNonDataflow, ConvertToDataflow": [theirs.ToNonDataflow(), theirs.ConvertToDataflow()],
    "EliminateCommonSubexpr": [theirs.EliminateCommonSubexpr()],
    "DecomposeOpsForInference": [theirs.DecomposeOpsForInference()],
    "DecomposeOpsForTraining": [theirs.DecomposeOpsForTraining()],
    "DeadCodeElimination": [theirs.DeadCodeElimination()],
    "ExpandMatmulOfSum": [theirs.ExpandMatmulOfSum()],
    "TopologicalSort": [theirs.TopologicalSort()],
    "ConvertLayout": [NHWC],
}
MIXED = [theirs.ToMixedPrecision(out_dtype="float32")]  # float16 between layers
BEHIND = {
    "FuseTransposeMatmul": [theirs.FuseTransposeMatmul()],
    "DataflowUseInplaceCalls": [theirs.DataflowUseInplaceCalls()],
    "LegalizeOps": [theirs.LegalizeOps()],
    "FuseOps, FuseTIR": [
        *(theirs.LegalizeOps(), theirs.AnnotateTIROpPattern(), theirs.FuseOps(), theirs.FuseTIR())
    ],
    "zero": [relax.get_pipeline("zero")],
}


def sequence(*passes) -> tvm.IRModule:
    module = tvm.transform.Sequential(passes)(LOSS)
    relax.analysis.well_formed(module)
    return module


@pytest.mark.parametrize("passes", slow_after(8, EITHER_SIDE.values(), EITHER_SIDE))
def test_before_ours(passes):
    user.assert_close(user.run_step(sequence(*passes, *BACKWARD), OPERANDS), EXPECTED)


CHANGE = ("ConvertLayout", "nothing")  # the others only clean up


@pytest.mark.parametrize(
    "passes",
    [
        *BEHIND.values(),
        *(
            pytest.param(passes, marks=() if name in CHANGE else pytest.mark.slow)
            for name, passes in EITHER_SIDE.items()
        ),
    ],
    ids=[*BEHIND, *EITHER_SIDE],
)
def test_behind_ours(passes):
    user.assert_close(user.run_step(sequence(*BACKWARD, *passes), OPERANDS), EXPECTED)


@pytest.mark.parametrize(
    "passes", [[*MIXED, *BACKWARD], [*BACKWARD, *MIXED]], ids=["before", "behind"]
)
def test_mixed_precision(passes):
    """Parameters and updates are float32; PyTorch's are, too, and all else float16 rounds."""
    step = sequence(*passes)
    assert "float16" in step.script()
    user.assert_close(user.run_step(step, OPERANDS), EXPECTED, 2e-3)


CHANNELS = {"p_a_weight": ([0, 2], 1), "p_b_weight": ([1, 2, 7], 0), "p_fc_weight": ([3, 6], 1)}


@pytest.mark.parametrize("kernel_layout", ["OIHW", "OHWI", "HWIO"])
def test_channels_train_in_any_layout(kernel_layout):
    """Of a dense, a depthwise and a linear layer; what is frozen is an argument of its own."""
    layout = "NCHW" if kernel_layout == "OIHW" else "NHWC"
    converted = theirs.ConvertLayout({"relax.nn.conv2d": [layout, kernel_layout]})
    scheme = {name: channels for name, (channels, _) in CHANNELS.items()}
    step = sequence(converted, ours.SparseBackward(scheme), ours.EliminateDeadGradients())
    operands, expected = dict(OPERANDS), dict(EXPECTED)
    for name, (channels, axis) in CHANNELS.items():
        operands[name] = VALUES[name].take(channels, axis)
        operands[name + ".frozen"] = np.delete(VALUES[name], channels, axis)
        expected[name] = EXPECTED[name].take(channels, axis)
    user.assert_close(user.run_step(step, operands), expected)


def test_parameters_in_a_bundle():
    """`BundleModelParams` tells inputs from parameters by ``num_input``."""
    step = sequence(*BACKWARD, theirs.BundleModelParams())
    assert [p.name for p in step["main"].params] == [
        *("x", "target", "learning_rate", "seed", "model_params")
    ]
    operands = DATA.numpy(), OPERANDS["target"], np.float32(user.RATE), np.uint32(0)
    loss, *updated = user.run(step, *operands, list(VALUES.values()))
    user.assert_close(dict(zip(VALUES, updated, strict=True)), EXPECTED)
    assert abs(loss - EXPECTED["loss"]) < 1e-6


@pytest.mark.parametrize(
    "passes, said",
    [
        ([theirs.LegalizeOps()], "relax.call_tir of "),
        ([theirs.FuseTransposeMatmul()], "relax.call_tir of NT_matmul has no gradient"),
        ([theirs.DataflowUseInplaceCalls()], "relax.call_tir_inplace"),
        ([theirs.BundleModelParams()], 'there is no parameter "p_fc_bias" in the module'),
    ],
    ids=["LegalizeOps", "FuseTransposeMatmul", "DataflowUseInplaceCalls", "BundleModelParams"],
)
def test_too_late_for_ours(passes, said):
    with pytest.raises(ValueError) as caught:
        sequence(*passes, ours.SparseBackward(["p_fc_bias", "p_a_weight"]))
    assert f"SparseBackward: {said}" in str(caught.value).strip().splitlines()[-1]


@pytest.mark.slow
def test_metaschedule_tunes_a_step(tmp_path):
    """Two trials of one kernel: the tuned step computes the same."""
    step = sequence(*BACKWARD, relax.get_pipeline("zero"))
    target = tvm.target.Target({"kind": "llvm", "num-cores": 1})
    kernel = next(g.name_hint for g in step.get_global_vars() if "matmul" in g.name_hint)
    with target, tvm.transform.PassContext(opt_level=3):
        tuned = theirs.MetaScheduleTuneIRMod(
            {}, str(tmp_path), max_trials_global=2, op_names=[kernel]
        )(step)
        tuned = theirs.MetaScheduleApplyDatabase(str(tmp_path))(tuned)
    user.assert_close(user.run_step(tuned, OPERANDS), EXPECTED)


def test_the_gain_of_dead_gradients_behind_tvms_gradient():
    """TVM's own plan of the memory of its own adjoint; the numbers do not change."""
    adjoint = theirs.Gradient("main", LOSS["main"].params[2:])(LOSS)
    shrunk = ours.EliminateDeadGradients("main_adjoint")(adjoint)
    operands = [OPERANDS[p.name] for p in adjoint["main_adjoint"].params]
    found = user.run(shrunk, *operands, function="main_adjoint")
    expected = user.run(adjoint, *operands, function="main_adjoint")
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert planned_bytes(shrunk) < planned_bytes(adjoint)


def planned_bytes(module: tvm.IRModule) -> int:
    """What TVM's memory plan allocates for ``main_adjoint``."""
    passes = [
        *(theirs.LegalizeOps(), theirs.AnnotateTIROpPattern(), theirs.FuseOps(), theirs.FuseTIR()),
        *(theirs.ToNonDataflow(), theirs.RemovePurityChecking(), theirs.CallTIRRewrite()),
        theirs.StaticPlanBlockMemory(),
    ]
    planned = tvm.transform.Sequential(passes)(module)["main_adjoint"]
    values = [b.value for block in planned.body.blocks for b in block.bindings]
    storages = [v for v in values if "alloc_storage" in str(getattr(v, "op", ""))]
    assert storages
    return sum(int(storage.args[0].values[0]) for storage in storages)
