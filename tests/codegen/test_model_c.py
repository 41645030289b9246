"""The generated files as text: the same bytes each time, legal C for any names, a checked plan."""

import re
import subprocess
from dataclasses import replace

import pytest
import tiny
import tvm
from tvm import relax
from tvm.relax import expr_functor

import tvm_ondevice_train as odt
from relay_passes.graph import op_name
from tvm_ondevice_train.memory_plan import check_plan
from tvm_ondevice_train.scheme.update_scheme import Channels, UpdateScheme

STRICT = "-std=c99 -Wall -Wextra -Wpedantic -Wundef -Wconversion -Werror -fsyntax-only".split()


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "int8"])
def quantized(request) -> bool:
    return request.param


def compiled(quantized, scheme="full", **options):
    return odt.compile(tiny.network(quantized), scheme=scheme, board="host", **options)


def test_the_same_source_gives_the_same_bytes(quantized):
    first, second = compiled(quantized), compiled(quantized)
    assert first.files == second.files
    assert first.report == second.report


def test_every_update_watches_for_what_is_not_finite(quantized):
    planned = compiled(quantized).planned.train
    printed = [planned.kernels[task.kernel] for task in planned.step.tasks]
    watching = {index for index, kernel in enumerate(printed) if kernel.watches}
    assert watching == {index for index, _ in planned.step.updates}


def test_each_update_comes_behind_the_loss_and_behind_its_backup(quantized):
    model = compiled(quantized)
    body = model.files["model.c"].split("int odt_train_step(")[1]
    fields = {slot.name: slot.field for slot in model.planned.slots}
    assert {tensor.name for _, tensor, _ in model.planned.train.backups} == set(fields)
    for _, tensor, offset in model.planned.train.backups:
        field = f"odt->params.{fields[tensor.name]}"
        backup = body.index(f"  memcpy(arena + {offset}, {field}, sizeof {field});\n")
        assert body.index("odt_is_finite(loss, 1)") < backup
        _, update = body[backup:].split(";")[:2]
        assert f"{field}, " in update and "&not_finite)" in update
        assert body.index(f"memcpy({field}, arena + {offset}, sizeof {field});") > backup


def model_hash(model) -> str:
    return re.search(r"#define ODT_MODEL_HASH (\w+)", model.files["model.h"])[1]


def test_how_it_trains_does_not_change_what_parameters_fit(quantized):
    ways = {"learning_rate": 0.5, "rollback": False, "prefer": "speed", "backward": "float32"}
    same = {model_hash(compiled(quantized, **{name: way})) for name, way in ways.items()}
    assert same == {model_hash(compiled(quantized))}


@expr_functor.mutator
class _SigmoidForRelu(expr_functor.PyExprMutator):
    def of(self, module):
        return tvm.IRModule({"main": self.visit_expr(module["main"])})

    def visit_call_(self, call):
        if op_name(call) == "relax.nn.relu":
            return relax.op.sigmoid(self.visit_expr(call.args[0]))
        return super().visit_call_(call)


def test_another_network_head_or_scheme_is_another_model(quantized):
    """Also where the parameters lie the same way and hold the same values."""
    network = tiny.network(quantized)
    sigmoid = _SigmoidForRelu().of(network.module)
    channels = [UpdateScheme({"conv.weight": Channels((channel,))}) for channel in (0, 1)]
    models = [
        *(compiled(quantized, scheme) for scheme in ("head", "full", "bias:1", *channels)),
        *(compiled(quantized, "head", classes=3, seed=seed) for seed in (0, 1)),
        odt.compile(replace(network, module=sigmoid), scheme="full", board="host"),
    ]
    assert models[1].manifest.trained_parameters == models[-1].manifest.trained_parameters
    assert len({model_hash(model) for model in models}) == len(models)


def test_another_seed_of_a_fresh_head_gives_other_data_only(quantized):
    first, second = (compiled(quantized, "head", classes=5, seed=seed) for seed in (0, 1))
    changed = {name for name in first.files if first.files[name] != second.files[name]}
    assert changed == {"model_data.h", "model.h"}  # the header holds the data's hash


@pytest.mark.parametrize("scheme", ["full", "head", "last:1", "bias:1"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_every_plan_passes_the_independent_check(quantized, scheme, loss):
    model = compiled(quantized, scheme, loss=loss)
    for planned in (model.planned.train, model.planned.evaluate):
        check_plan(planned.buffers, planned.plan)
        assert planned.plan.total_bytes <= model.report["arena_bytes"]


def test_the_arena_map_names_every_tensor_and_every_scratch_with_its_offset(quantized):
    model = compiled(quantized)
    text = model.files["model.c"]
    for planned in (model.planned.train, model.planned.evaluate):
        for tensor, (first, last) in planned.step.live.items():
            live = f"ops {first:3d}..{last:<3d}  {tensor.name} "
            assert f" * {planned.offset(tensor):8d} {tensor.size_bytes:8d}  {live}" in text
        for index, op in enumerate(planned.step.tasks):
            if size := op.kernel.workspace_bytes:
                live = f"ops {index:3d}..{index:<3d}  scratch  {op.name}"
                assert f" * {planned.workspace_offset(index):8d} {size:8d}  {live}\n" in text


def test_every_call_passes_the_planned_offsets(quantized):
    model = compiled(quantized)
    calls = re.findall(r"/\* op \d+, .* \*/([^;]*);\n  ODT_YIELD", model.files["model.c"])
    found = [[int(n) for n in re.findall(r"arena \+ (\d+)", call)] for call in calls]
    assert found == [
        offsets
        for planned in (model.planned.evaluate, model.planned.train)
        for offsets in offsets_of_calls(planned)
    ]


def offsets_of_calls(planned):
    """For each op those of its operands, its results and its scratch."""
    for index, op in enumerate(planned.step.tasks):
        offsets = [planned.offset(tensor) for tensor in (*op.inputs, *op.outputs)]
        scratch = [planned.workspace_offset(index)] if op.kernel.workspace_bytes else []
        yield [offset for offset in offsets if offset is not None] + scratch


@pytest.mark.parametrize(
    "names",
    [
        ("arena", "target"),
        ("odt->params", "seed"),
        ("int", "class"),
        ("a*/b", 'c"d\\'),
        ("x.y", "x/y"),
        ("multiply", "initial_x"),
        ("été", "9??/"),
    ],
)
def test_any_names_give_legal_c(names, quantized, tmp_path):
    """Frozen or trained, in C and (the header) in C++."""
    model = replace(tiny.network(quantized, names), name=f"{names[1]}*/ model")
    for scheme in ("full", "head"):
        project = odt.compile(model, scheme=scheme, board="host").save(tmp_path / scheme, "host")
        include = [f"-I{path}" for path in {p.parent for p in project.rglob("*.h")}]
        for source in project.rglob("model.c"):
            run([*STRICT, *include, str(source)], "gcc")
        user = tmp_path / "user.cpp"
        user.write_text('#include "model.h"\nint main() { return ODT_OK; }\n')
        run(["-fsyntax-only", "-Wall", "-Werror", *include, str(user)], "g++")


def run(arguments, compiler):
    done = subprocess.run([compiler, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]


def test_a_kernel_of_equal_text_is_one_function(quantized):
    text = compiled(quantized).files["model.c"]
    bodies = [
        part.split("(", 1)[1] for part in text.split("ODT_KERNEL void ")[1:] if "place" not in part
    ]
    kernels = [body.split("\n}\n")[0] for body in bodies]
    assert len(kernels) == len(set(kernels)) > 3
