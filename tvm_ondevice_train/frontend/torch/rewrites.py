"""Arguments of PyTorch's operators that TVM's importer reads past, as operators that it reads."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

from .accepted import arguments_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node


def written_out(program: ExportedProgram) -> None:
    """Rewrite the graph of a decomposed `program` in place; it computes the same."""
    for node in list(program.graph.nodes):
        rewrite = _REWRITES.get(getattr(node.target, "__name__", ""))
        if rewrite is not None:
            rewrite(node)
    program.graph_module.recompile()


def _alpha(node: Node) -> None:
    """``a + alpha * b``."""
    alpha, other = arguments_of(node)["alpha"], node.args[1]
    if alpha != 1:
        with node.graph.inserting_before(node):
            other = _scaled(other, alpha) if hasattr(other, "meta") else other * alpha
        node.args, node.kwargs = (node.args[0], other), {}


def _clamp(node: Node) -> None:
    """Where the bounds cross PyTorch gives the upper one, TVM the lower one."""
    low, high = (*node.args[1:], None, None)[:2]
    if low is not None and high is not None and low > high:
        node.args = (node.args[0], high, high)


def _divisor(node: Node) -> None:
    """A sum over the window by another number than its area."""
    given = arguments_of(node)
    if given["divisor_override"] is not None:
        kernel = (list(given["kernel_size"]) * 2)[:2]
        geometry = given["stride"] or kernel, given["padding"], given["ceil_mode"]
        node.args, node.kwargs = (node.args[0], kernel, *geometry, True), {}
        _followed_by(node, prod(kernel) / given["divisor_override"])


def _scale(node: Node) -> None:
    """``scale * elu(x)``, as SELU is exported."""
    given = arguments_of(node)
    if given["scale"] != 1:
        node.args, node.kwargs = (node.args[0], given["alpha"]), {}
        _followed_by(node, given["scale"])


def _all_axes(node: Node) -> None:
    """Of no axes PyTorch takes the mean of all."""
    if not node.args[1]:
        rank = node.args[0].meta["val"].dim()
        node.args = (node.args[0], list(range(rank)), *node.args[2:])


def _strides(node: Node) -> None:
    """No strides are those of windows side by side."""
    if len(node.args) < 3 or not node.args[2]:
        node.args = (*node.args[:2], node.args[1], *node.args[3:])


def _shape(node: Node) -> None:
    """TVM drops axes that are longer than 1, or refuses to."""
    import torch

    node.target = torch.ops.aten.view.default
    node.args, node.kwargs = (node.args[0], list(node.meta["val"].shape)), {}


def _followed_by(node: Node, factor: float) -> None:
    with node.graph.inserting_after(node):
        scaled = _scaled(node, factor)
    node.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)


def _scaled(node: Node, factor: float) -> Node:
    import torch

    scaled = node.graph.call_function(torch.ops.aten.mul.Tensor, (node, factor))
    scaled.meta = dict(node.meta)
    return scaled


_REWRITES: dict[str, Callable[[Node], None]] = {
    "add.Scalar": _alpha,
    "add.Tensor": _alpha,
    "avg_pool2d.default": _divisor,
    "clamp.default": _clamp,
    "elu.default": _scale,
    "hardtanh.default": _clamp,
    "max_pool2d_with_indices.default": _strides,
    "mean.dim": _all_axes,
    "squeeze.dims": _shape,
    "sub.Scalar": _alpha,
    "sub.Tensor": _alpha,
}
