"""What a run costs: memory, instructions, cycles."""

from __future__ import annotations

from pathlib import Path

from ..device.build import flash_bytes
from ..device.stack_bound import stack_bound
from ..errors import OdtError
from ..manifest import Manifest


def checked_stack_bound(
    directory: str | Path, manifest: Manifest, program: Path | None
) -> int | None:
    """What the stack of a bare-metal program takes at most; None where that is not ours to say."""
    if program is None or manifest.platform != "baremetal":
        return None
    bound = stack_bound(directory).size_bytes
    if bound > manifest.stack_bytes:
        raise OdtError(
            f"run: the stack may take {bound:,} bytes and {manifest.stack_bytes:,} are reserved; "
            f"train fewer layers (--scheme)"
        )
    return bound


def costs_of(
    stats: dict[str, int], counts: dict[str, tuple[int, int]], program: Path | None
) -> dict:
    """Memory, and instructions or cycles; None where the platform cannot tell.

    program : what was built and started here; None for a board at a line.
    """
    costs: dict[str, int | None] = dict.fromkeys(
        (
            *("peak_sram_bytes", "stack_bytes", "stack_reserved_bytes", "flash_bytes"),
            *("instructions_per_step", "instructions_forward"),
            *("cycles_per_step", "cycles_forward"),
        )
    )
    if not stats["stack_used"]:  # a process of a computer
        return costs
    parts = ("arena_bytes", "state_bytes", "static_bytes", "stack_used")
    costs["peak_sram_bytes"] = sum(stats[part] for part in parts)
    costs["stack_bytes"] = stats["stack_used"]
    costs["stack_reserved_bytes"] = stats["stack_reserved"]
    if program is None:
        pair, measured = "cycles", [stats["train_cycles"], stats["predict_cycles"]]
    else:
        costs["flash_bytes"] = flash_bytes(program)
        pair, measured = "instructions", _means(counts["train"], counts["predict"])
    costs[f"{pair}_per_step"], costs[f"{pair}_forward"] = (value or None for value in measured)
    return costs


def _means(*counts: tuple[int, int]) -> list[int]:
    return [round(total / regions) for regions, total in counts]
