"""Blocks become plain loops over flat buffers; of Relax functions dataflow ends."""

import pytest
import tiny
import tvm
from tvm import relax, te
from tvm.script import ir as I

from relay_passes import DefaultSchedule, LowerToLoops
from relay_passes.tir import Schedule, T


@I.ir_module
class Blocks:
    @T.prim_func(s_tir=True)
    def doubled(x: T.Buffer((4, 8), "float32"), y: T.Buffer((4, 8), "float32")):
        T.func_attr({"tirx.noalias": True})
        for i, j in T.grid(4, 8):
            with T.sblock("y"):
                v_i, v_j = T.axis.remap("SS", [i, j])
                y[v_i, v_j] = x[v_i, v_j] * T.float32(2)

    @T.prim_func(s_tir=True)
    def row_sums(x: T.Buffer((4, 8), "float32"), y: T.Buffer((4,), "float32")):
        T.func_attr({"tirx.noalias": True})
        total = T.sblock_alloc_buffer((4,), scope="local")
        for i in range(4):
            with T.sblock("start"):
                v_i = T.axis.spatial(4, i)
                total[v_i] = T.float32(0)
            for r in range(8):
                with T.sblock("step"):
                    v_i, v_r = T.axis.remap("SR", [i, r])
                    total[v_i] = total[v_i] + x[v_i, v_r]
            with T.sblock("y"):
                v_i = T.axis.spatial(4, i)
                y[v_i] = total[v_i]


@I.ir_module
class Loops:
    @T.prim_func(s_tir=True)
    def doubled(x: T.Buffer((4, 8), "float32"), y: T.Buffer((4, 8), "float32")):
        T.func_attr({"tirx.noalias": True})
        x_1 = x.view(32)
        y_1 = y.view(32)
        for i, j in T.grid(4, 8):
            y_1[i * 8 + j] = x_1[i * 8 + j] * T.float32(2)

    @T.prim_func(s_tir=True)
    def row_sums(x: T.Buffer((4, 8), "float32"), y: T.Buffer((4,), "float32")):
        T.func_attr({"tirx.noalias": True})
        x_1 = x.view(32)
        y_1 = T.decl_buffer((4,), data=y.data)
        for i in range(4):
            total = T.alloc_local(
                (1,), annotations={"buffer_allocated_addr": [], "buffer_data_alignment": 64}
            )
            total[0] = T.float32(0)
            for r in range(8):
                total[0] = total[0] + x_1[i * 8 + r]
            y_1[i] = total[0]


@pytest.mark.parametrize("name", ["doubled", "row_sums"])
def test_blocks_become_loops_and_scratch_shrinks_to_what_is_alive(name):
    tvm.ir.assert_structural_equal(LowerToLoops()(Blocks)[name], Loops[name])


def test_a_module_keeps_its_relax_functions_names_and_attributes():
    x = te.placeholder((4, 8), "float32", "x")
    kernel = tiny.kernel(x, te.compute((4, 8), lambda i, j: x[i, j] + 1.0, name="y"))
    module = DefaultSchedule()(kernel).with_attr("kept", 1)
    lowered = LowerToLoops()(module)
    plain = relax.transform.ToNonDataflow()(module)
    tvm.ir.assert_structural_equal(lowered["main"], plain["main"])
    assert {g.name_hint for g in lowered.functions} == {"main", "kernel"}
    assert lowered.attrs["kept"] == 1 and lowered["kernel"].attrs["tirx.is_scheduled"] == 1


def test_a_module_without_kernels_only_has_no_dataflow_any_more():
    module = tiny.module({"x": ((2, 2), "float32")}, lambda emit, x: emit(x))
    plain = relax.transform.ToNonDataflow()(module)
    tvm.ir.assert_structural_equal(LowerToLoops()(module), plain)


def test_what_a_schedule_said_of_axes_is_not_said_of_the_flat_buffer():
    """TVM would look for these axes, when it lowers the kernel again."""
    x = te.placeholder((4, 8), "float32", "x")
    copy = te.compute((4, 8), lambda i, j: x[i, j], name="copy")
    kernel = te.create_prim_func([x, te.compute((4, 8), lambda i, j: copy[i, j] + 1.0, name="y")])
    schedule = Schedule(tvm.IRModule({"kernel": kernel}))
    schedule.storage_align(schedule.get_sblock("copy", "kernel"), 0, axis=-2, factor=2, offset=0)
    assert "buffer_dim_align" in schedule.mod.script()
    assert "buffer_dim_align" not in LowerToLoops()(schedule.mod).script()
