"""Split a weight into the channels that train and those that stay in flash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tvm
from tvm import relax

from ..graph import (
    Emit,
    Renamer,
    bindings_of,
    consumers_of,
    dtype_of,
    is_call_of,
    main_of,
    rebuilt,
    shape_of,
    variables_in,
)
from ..ops.channels import merge_channels, ranges_of
from ..ops.convolution import channel_multiplier
from ..tvm_pass import Pass, module_pass

FUNCTION = "main"
FROZEN_SUFFIX = ".frozen"
MERGE = "relax.odt.merge_channels"


@module_pass
class SplitParameters(Pass):
    """Replace a weight by its trained channels, under its name, and its frozen ones.

    Whatever read the weight reads both, put together again on the fly: after `FusePrologue` nothing
    is copied. Only the trained part need lie in SRAM.

    Parameters
    ----------
    channels : weight name -> its input channels that train, ascending; the groups where each group
        has one input channel (see `channel_axis`). Channels that are one range from 0 cost least.

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

    def __init__(self, channels: Mapping[str, Sequence[int]]) -> None:
        self.channels = {name: tuple(chosen) for name, chosen in channels.items()}

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "SplitParameters")
        unknown = sorted(self.channels.keys() - {p.name for p in function.params})
        if unknown:
            raise ValueError(f'SplitParameters: there is no parameter "{unknown[0]}".')
        names = frozen_names(function.params)
        params, merged = [], {}
        for parameter in function.params:
            chosen = self.channels.get(parameter.name)
            if chosen is None:
                params.append(parameter)
                continue
            axis, rows = channel_axis(function, parameter)
            indices = _rows(parameter, chosen, axis, rows)
            parts = _parts(parameter, names[parameter.name], len(indices), axis)
            params += parts
            merged[parameter] = merge_channels(*parts, ranges_of(indices), axis)
        split = _with_merged(function, params, merged)
        return tvm.IRModule({FUNCTION: split}, attrs=module.attrs)


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
    names = frozen_names(function.params)
    parameters = {p.name: p for p in function.params}
    result = {}
    for name, value in values.items():
        if name not in channels:
            result[name] = value
            continue
        axis, rows = channel_axis(function, parameters[name])
        indices = _rows(parameters[name], channels[name], axis, rows)
        result[name] = np.ascontiguousarray(np.take(value, indices, axis))
        result[names[name]] = np.ascontiguousarray(np.delete(value, indices, axis))
    return result


def frozen_names(params: Iterable[relax.Var]) -> dict[str, str]:
    """For each parameter the name that its frozen part would get, unlike any other's."""
    taken = {p.name for p in params}
    names = {}
    for name in [p.name for p in params]:
        frozen = name + FROZEN_SUFFIX
        while frozen in taken:
            frozen += "_"
        taken.add(frozen)
        names[name] = frozen
    return names


def channel_axis(function: relax.Function, parameter: relax.Var) -> tuple[int, int]:
    """The weight axis along which its input channels lie, and rows a channel.

    ``(1, 1)`` for OIHW weights; ``(0, m)`` where each group of a convolution has one input channel
    and m outputs (depthwise). Raises ValueError for what is no convolution's weight.
    """
    found = {_axis_of(conv) for conv in _convolutions(function, parameter)}
    axis = found.pop() if len(found) == 1 else None
    if axis is None:
        raise ValueError(
            f'SplitParameters: "{parameter.name}" is not the weight of a convolution or fully '
            "connected layer; only such weights train by channel."
        )
    return axis


def _convolutions(function: relax.Function, parameter: relax.Var) -> list[relax.Call | None]:
    """The convolutions with that weight; None for any other reader."""
    consumers = consumers_of(function)
    calls, frontier = [], [parameter]
    while frontier:
        var = frontier.pop()
        for reader in consumers.get(var, []):
            value = reader.value
            if is_call_of(value, "relax.dequantize"):
                frontier.append(reader.var)
            else:
                is_weight = is_call_of(value, "relax.nn.conv2d") and value.args[1].same_as(var)
                calls.append(value if is_weight else None)
    return calls


def _axis_of(conv: relax.Call | None) -> tuple[int, int] | None:
    if conv is None:
        return None
    multiplier = channel_multiplier(shape_of(conv.args[1]), int(conv.attrs.groups))
    return (0, multiplier) if multiplier else (1, 1)


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


def merged_with_frozen(function: relax.Function, parameter: relax.Var) -> relax.VarBinding | None:
    """The binding that puts `parameter` together with its frozen channels; None if it is whole."""
    for binding in bindings_of(function):
        value = binding.value
        if is_call_of(value, MERGE) and value.args[0].same_as(parameter):
            return binding
    return None
