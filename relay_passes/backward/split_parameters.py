"""Split a weight into the channels that train and those that stay in flash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tvm
from tvm import relax

from ..graph import (
    PERMUTE,
    Consumers,
    Emit,
    Renamer,
    consumers_of,
    dtype_of,
    free_name,
    is_call_of,
    is_static,
    main_of,
    op_name,
    rebuilt,
    shape_of,
    variables_in,
    with_function,
)
from ..ops.channels import merge_channels, ranges_of
from ..ops.convolution import channel_multiplier
from ..tvm_pass import Pass, module_pass

FROZEN_SUFFIX = ".frozen"
MERGE = "relax.odt.merge_channels"
_SAME_AXES = ("relax.dequantize", "relax.astype")


@module_pass
class SplitParameters(Pass):
    """Replace a weight by its trained channels, under its name, and its frozen ones.

    Whatever read the weight reads both, put together again on the fly: after `FusePrologue` nothing
    is copied. Only the trained part need lie in SRAM.

    Parameters
    ----------
    channels : weight name -> its input channels that train, ascending; the groups where each group
        has one input channel (see `channel_axis`). Channels that are one range from 0 cost least.
    func_name : the function whose parameters they are.

    Examples
    --------
    .. code-block:: python

        @R.function                                                   # before
        def main(x, w: R.Tensor((8, 6, 1, 1))):
            y = R.nn.conv2d(x, w)

        @R.function                                                   # after {"w": [0, 1]}
        def main(x, w: R.Tensor((8, 2, 1, 1)), w_frozen: R.Tensor((8, 4, 1, 1))):
            whole = R.odt.merge_channels(w, w_frozen, ranges=[0, 2], axis=1)
            y = R.nn.conv2d(x, whole)
    """

    def __init__(self, channels: Mapping[str, Sequence[int]], func_name: str = "main") -> None:
        self.channels = {name: tuple(chosen) for name, chosen in channels.items()}
        self.func_name = func_name

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "SplitParameters", self.func_name)
        parameters = {p.name: p for p in function.params}
        unknown = sorted(self.channels.keys() - parameters.keys())
        if unknown:
            raise ValueError(f'SplitParameters: there is no parameter "{unknown[0]}".')
        chosen = {parameters[name]: channels for name, channels in self.channels.items()}
        return with_function(module, self.func_name, split(function, chosen)[0])


def split(
    function: relax.Function, channels: Mapping[relax.Var, Sequence[int]]
) -> tuple[relax.Function, dict[relax.Var, tuple[relax.Var, ...]]]:
    """`function` with those parameters split, and the two parts of each; see `SplitParameters`."""
    names, consumers = frozen_names(function.params), consumers_of(function)
    parts, merged = {}, {}
    for parameter, chosen in channels.items():
        axis, rows = channel_axis(consumers, parameter)
        indices = _rows(parameter, chosen, axis, rows)
        pair = _parts(parameter, names[parameter.name], len(indices), axis)
        parts[parameter] = pair
        merged[parameter] = merge_channels(*pair, ranges_of(indices), axis)
    params = [part for p in function.params for part in parts.get(p, (p,))]
    return (_with_merged(function, params, merged) if parts else function), parts


def _with_merged(
    function: relax.Function, params: Sequence[relax.Var], merged: dict
) -> relax.Function:
    """`function` over `params`, where each parameter in `merged` is that value."""
    renamed = Renamer({})

    def rewrite(emit: Emit, binding: relax.VarBinding) -> relax.Expr:
        for parameter in variables_in(binding.value):
            if parameter in merged and parameter not in renamed.vars:
                renamed.vars[parameter] = emit(merged[parameter])
        return renamed(binding.value)

    return rebuilt(function, rewrite, params)


def split_values(
    function: relax.Function,
    values: Mapping[str, np.ndarray],
    channels: Mapping[str, Sequence[int]],
) -> dict[str, np.ndarray]:
    """Values of the parameters that `SplitParameters(channels)` gives `function`."""
    names, consumers = frozen_names(function.params), consumers_of(function)
    parameters = {p.name: p for p in function.params}
    result = {}
    for name, value in values.items():
        if name not in channels:
            result[name] = value
            continue
        axis, rows = channel_axis(consumers, parameters[name])
        indices = _rows(parameters[name], channels[name], axis, rows)
        result[name] = np.ascontiguousarray(np.take(value, indices, axis))
        result[names[name]] = np.ascontiguousarray(np.delete(value, indices, axis))
    return result


def frozen_names(params: Iterable[relax.Var]) -> dict[str, str]:
    """For each parameter the name that its frozen part would get, unlike any other's."""
    taken = {p.name for p in params}
    names = {}
    for name in [p.name for p in params]:
        names[name] = free_name(name + FROZEN_SUFFIX, taken)
        taken.add(names[name])
    return names


def channel_axis(consumers: Consumers, parameter: relax.Var) -> tuple[int, int]:
    """The weight axis along which its input channels lie, and rows a channel.

    ``(1, 1)`` for OIHW weights; ``(0, m)`` where each group of a convolution has one input channel
    and m outputs (depthwise); of another layout, or of a matrix, the axis that has these channels.
    Raises ValueError for what is no layer's weight, or of a shape that is not static.
    """
    found = set(_axes(consumers, parameter)) if is_static(parameter.ty) else set()
    axis = found.pop() if len(found) == 1 else None
    if axis is None:
        raise ValueError(
            f'SplitParameters: "{parameter.name}" is not the weight of a convolution or fully '
            "connected layer; only such weights train by channel."
        )
    return axis


def _axes(consumers: Consumers, parameter: relax.Var) -> Iterator[tuple[int, int] | None]:
    """What `channel_axis` is for each layer with that weight; None for any other reader."""
    frontier = [(parameter, tuple(range(len(shape_of(parameter)))))]
    while frontier:
        var, axes = frontier.pop()  # and which axis of the parameter each of its own is
        for reader in consumers.get(var, []):
            value = reader.value
            if op_name(value) in _SAME_AXES:
                frontier.append((reader.var, axes))
            elif is_call_of(value, PERMUTE):
                turned = [int(n) for n in value.attrs.axes or reversed(range(len(axes)))]
                frontier.append((reader.var, tuple(axes[n] for n in turned)))
            else:
                found = _axis_of(value, var)
                yield found and (axes[found[0]], found[1])


def _axis_of(layer: relax.Expr, weight: relax.Var) -> tuple[int, int] | None:
    """Axis of input channels of `weight`, and rows a channel, if it is that layer's weight."""
    if is_call_of(layer, "relax.matmul") and layer.args[1].same_as(weight):
        return (len(shape_of(weight)) - 2, 1) if len(shape_of(weight)) > 1 else None
    if not is_call_of(layer, "relax.nn.conv2d") or not layer.args[1].same_as(weight):
        return None
    layout = str(layer.attrs.kernel_layout)
    if sorted(layout) != sorted("OIHW"):
        return None
    shape = [shape_of(weight)[layout.index(axis)] for axis in "OIHW"]
    multiplier = channel_multiplier(shape, int(layer.attrs.groups))
    return (layout.index("O"), multiplier) if multiplier else (layout.index("I"), 1)


def _rows(parameter: relax.Var, chosen: Sequence[int], axis: int, rows: int) -> list[int]:
    """Indices along `axis` of the chosen channels."""
    count = shape_of(parameter)[axis] // rows
    if (
        not chosen
        or list(chosen) != sorted(set(chosen))
        or not 0 <= chosen[0] <= chosen[-1] < count
    ):
        raise ValueError(
            f'SplitParameters: channels of "{parameter.name}" must be ascending numbers from 0 to '
            f"{count - 1}, at least one; found {list(chosen)}."
        )
    if len(chosen) == count:
        raise ValueError(
            f'SplitParameters: all channels of "{parameter.name}" train; nothing to split.'
        )
    return [channel * rows + row for channel in chosen for row in range(rows)]


def _parts(
    parameter: relax.Var, frozen_name: str, count: int, axis: int
) -> tuple[relax.Var, relax.Var]:
    """Variables for `count` channels that train, under the name of all, and for the others."""
    shape = shape_of(parameter)

    def part(name: str, size: int) -> relax.Var:
        sizes = [*shape[:axis], size, *shape[axis + 1 :]]
        return relax.Var(name, relax.TensorType(sizes, dtype_of(parameter)))

    return part(parameter.name, count), part(frozen_name, shape[axis] - count)


def merged_with_frozen(consumers: Consumers, parameter: relax.Var) -> relax.VarBinding | None:
    """The binding that puts `parameter` together with its frozen channels; None if it is whole."""
    for reader in consumers.get(parameter, []):
        if is_call_of(reader.value, MERGE) and reader.value.args[0].same_as(parameter):
            return reader
    return None
