"""Pads of convolutions and pools as numbers, in place of ``auto_pad`` and ``ceil_mode``.

TVM's importer has rules of its own for both, which are not ONNX Runtime's.
"""

from __future__ import annotations

from typing import Any

from .rules import Node


def explicit_pads(node: Node) -> dict[str, Any]:
    """Attributes of a Conv, MaxPool or AveragePool that say the same with pads alone.

    Only a mean that counts its pads keeps a ``ceil_mode`` that adds windows: what lies beyond the
    pads is not counted.
    """
    sizes = node.shape(0)[2:]
    axes = range(len(sizes))
    kernel = list(node.attributes.get("kernel_shape") or node.shape(1)[2:])
    strides = node.attributes.get("strides", [1] * len(sizes))
    dilations = node.attributes.get("dilations", [1] * len(sizes))
    reaches = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    auto = node.attributes.get("auto_pad", "NOTSET")
    pads = list(node.attributes.get("pads", [0] * 2 * len(sizes)))
    if auto.startswith("SAME"):
        halves = [_same(*one, auto) for one in zip(sizes, reaches, strides, strict=True)]
        pads = [before for before, _ in halves] + [after for _, after in halves]
    result = {**node.attributes, "kernel_shape": kernel, "pads": pads}
    result.pop("auto_pad", None)
    if not result.pop("ceil_mode", 0) or auto != "NOTSET":
        return result
    wider = list(pads)
    for axis in axes:
        length = (sizes[axis], pads[axis], pads[len(sizes) + axis])
        wider[len(sizes) + axis] = _rounded_up(*length, reaches[axis], strides[axis])
    counted = result.get("count_include_pad", 0) and wider != pads
    return {**result, "ceil_mode": 1} if counted else {**result, "pads": wider}


def _same(size: int, reach: int, stride: int, auto: str) -> tuple[int, int]:
    """Pads before and after with which there is a result for each `stride` elements."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    smaller, larger = total // 2, total - total // 2
    return (smaller, larger) if auto == "SAME_UPPER" else (larger, smaller)


def _rounded_up(size: int, before: int, after: int, reach: int, stride: int) -> int:
    """The pad behind with which rounding down counts as rounding up does with `after`.

    A window that would begin behind the data and the pad before it is none.
    """
    count = -(-(size + before + after - reach) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max((count - 1) * stride + reach - size - before, 0)
