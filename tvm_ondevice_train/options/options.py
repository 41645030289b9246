"""The options of `compile`, each said once: for Python, the command line and `tune`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from relay_passes.formats import FORMATS
from relay_passes.loss_parameters import PARAMETERS
from relay_passes.optimizers import (
    ACCUMULATORS,
    OPTIMIZERS,
    SGD,
    Accumulation,
    Optimizer,
)

from ..boards import DEFAULT_BOARD
from ..errors import OdtError
from ..files.checked_json import shown
from ..losses import CROSS_ENTROPY, LABEL, LOSSES, Loss
from ..replay import (
    BALANCED,
    FEATURES,
    KINDS,
    MEMORIES,
    POLICIES,
    RAM,
    RESERVOIR,
    SAMPLE,
    Replay,
)
from ..scheme import UpdateScheme
from ..tuning import Tuning
from .option import option
from .plain import OF_OPTIMIZERS, from_plain, plain_optimizer
from .together import contradiction
from .values import (
    wrong_batch,
    wrong_bytes,
    wrong_c_prefix,
    wrong_classes,
    wrong_flag,
    wrong_names,
    wrong_scheme,
    wrong_seed,
    wrong_slots,
    wrong_temperature,
    wrong_text,
)

BACKWARDS = ("auto", "float32", "int16", *FORMATS)
HEADS = ("auto", "float", "int8", "cosine")
HEAD_STARTS = ("auto", "file", "random")
PREFERENCES = ("memory", "speed")


@dataclass(frozen=True)
class Options:
    """What a training step is compiled for."""

    classes: int | None = option(
        None,
        "Replace the classifier by a fresh float32 one with N outputs.",
        flag="--classes",
        metavar="N",
        check=wrong_classes,
        without="train the model's own last layer",
    )
    head: str = option(
        "auto",
        "How the model's own last layer is computed: int8, as quantized; float, as a float32 layer "
        "of its values, whose output is not quantized, which learns better; auto, float where "
        "it is int8, trains and fits the board. With --classes: cosine, a fresh layer that "
        "compares directions; a few samples make a class of it, without a backward.",
        flag="--head",
        choices=HEADS,
        check=wrong_text,
    )
    temperature: float = option(
        10.0,
        "What a cosine head multiplies cosines by.",
        flag="--temperature",
        metavar="F",
        check=wrong_temperature,
    )
    max_classes: int | None = option(
        None,
        "Room for M classes, of which --classes are in use at the start: odt_add_class() adds one "
        "on the device.",
        flag="--max-classes",
        metavar="N",
        check=wrong_classes,
        without="as many as --classes",
    )
    head_start: str = option(
        "auto",
        "Where a fresh head starts: file, from the file's own classifier, which must have as many "
        "outputs, or with the names of both from its rows of equal names; random; auto, by the "
        "names where they are given, else random.",
        flag="--head-start",
        choices=HEAD_STARTS,
        check=wrong_text,
        tunes=False,
        remakes=True,
    )
    class_names: tuple[str, ...] | None = option(
        None,
        "Names of the classes, separated by commas, or a FILE with one a line; with the file's own "
        "they say where a fresh head starts.",
        flag="--class-names",
        metavar="NAMES",
        check=wrong_names,
        tunes=False,
        remakes=True,
        without="numbers",
    )
    file_class_names: tuple[str, ...] | None = option(
        None,
        "The same of the file's own classifier.",
        flag="--file-class-names",
        metavar="NAMES",
        check=wrong_names,
        tunes=False,
        remakes=True,
        without="numbers",
    )
    scheme: str | os.PathLike | UpdateScheme = option(
        "head",
        "What trains: full, head, last:K (the last K layers and the head), bias:K (the last K "
        "biases and the head), or a FILE.json, which may train some of a weight's input channels.",
        flag="--scheme",
        metavar="SCHEME",
        check=wrong_scheme,
    )
    loss: Loss = option(
        CROSS_ENTROPY,
        "What is minimised: " + "; ".join(f"{n}, {loss.help}" for n, loss in LOSSES.items()) + ".",
        flag="--loss",
        choices=tuple(LOSSES),
    )
    optimizer: Optimizer = option(
        SGD(),
        "How trained values follow their gradients.",
        flag="--optimizer",
        choices=tuple(OPTIMIZERS),
    )
    batch: int | None = option(
        None,
        "Learn from batches of N samples: each adds its gradients to sums in SRAM, and their mean "
        "updates what trains. The device can be told another N.",
        flag="--batch",
        metavar="N",
        check=wrong_batch,
        without="each sample updates what trains, and nothing is summed",
    )
    accumulator: str = option(
        "auto",
        "Format of the sums of --batch: float32; int16, codes with a scale for each row; auto, "
        "int16 for quantized parameters, float32 for others.",
        flag="--accumulator",
        choices=ACCUMULATORS,
        check=wrong_text,
    )
    backward: str = option(
        "auto",
        "Arithmetic of the backward: float32; int16, gradients of 1x1 and depthwise layers in "
        f"integers; {', '.join(FORMATS)}, that and adjoints stored between kernels in fewer "
        "bits; auto, int16 unless float32 takes less memory.",
        flag="--backward",
        choices=BACKWARDS,
        check=wrong_text,
    )
    prefer: str = option(
        "memory",
        "memory: no kernel's scratch raises the peak of the arena; speed: each kernel has the "
        "scratch that makes it fastest.",
        flag="--prefer",
        choices=PREFERENCES,
        check=wrong_text,
    )
    rollback: bool = option(
        True,
        "Keep what a step writes over until it ends, so that one whose loss or gradient is not "
        "finite changes nothing.",
        flag="--rollback/--no-rollback",
        check=wrong_flag,
    )
    replay: int | None = option(
        None,
        "Keep N old samples on the device, to be learned again between new ones.",
        flag="--replay",
        metavar="N",
        check=wrong_slots,
        tunes=False,
        without="none",
    )
    replay_in: str = option(
        RAM,
        "Where they are kept: ram, or flash, where they outlast a loss of power.",
        flag="--replay-in",
        choices=MEMORIES,
        check=wrong_text,
        tunes=False,
    )
    replay_policy: str | None = option(
        None,
        "Which are kept: ring, the newest; reservoir, each that came with the same chance; "
        "balanced, as many of each class as can be.",
        flag="--replay-policy",
        choices=POLICIES,
        tunes=False,
        without="balanced for labels, reservoir for values",
    )
    replay_of: str = option(
        SAMPLE,
        "What of them is kept: the sample, or its features, what the layers make of it that do not "
        "train; learning them again takes less time, and gives the same bits.",
        flag="--replay-of",
        choices=KINDS,
        check=wrong_text,
        tunes=False,
    )
    split: bool = option(
        False,
        "Run first what needs the sample and nothing that trains, and give the C functions that go "
        "on from its results, the features of the sample: odt_features, odt_train_features.",
        check=wrong_flag,
        tunes=False,
    )
    board: str = option(
        DEFAULT_BOARD,
        "The board, from `ondevice-train boards`.",
        flag="--board",
        metavar="NAME",
        check=wrong_text,
    )
    sram_bytes: int | None = option(
        None,
        "SRAM budget, e.g. 256KB.",
        flag="--sram",
        metavar="SIZE",
        check=wrong_bytes,
        without="the board's",
    )
    flash_bytes: int | None = option(
        None,
        "Flash budget, e.g. 1MB.",
        flag="--flash",
        metavar="SIZE",
        check=wrong_bytes,
        without="the board's",
    )
    seed: int = option(
        0, "Seed of a fresh classifier's weights.", check=wrong_seed, tunes=False, remakes=True
    )
    tuning: str | os.PathLike | Mapping | Tuning | None = option(
        None,
        "A file that `tune` wrote, or none.",
        flag="--tuning",
        metavar="FILE",
        tunes=False,
        without="the package's own for the board's CPU",
    )
    prefix: str | None = option(
        None,
        "What names of the C begin with, and those of its files, so that several models go into "
        "one firmware: NAME_init() in NAME_model.h.",
        flag="--prefix",
        metavar="NAME",
        check=wrong_c_prefix,
        tunes=False,
        without="odt, in model.h",
    )
    dump_ir: str | os.PathLike | None = option(
        None,
        "Write the module after each pass into DIR, as TVMScript.",
        flag="--dump-ir",
        metavar="DIR",
        tunes=False,
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, choices = getattr(self, entry.name), entry.metadata["choices"]
            if isinstance(value, str) and choices and value not in choices:
                raise OdtError(f"{entry.name} is {shown(value)}; allowed are {', '.join(choices)}")
            wrong = entry.metadata["check"](value)
            if wrong:
                raise OdtError(f"{entry.name} is {shown(value)}; {wrong}")
        contradicted = contradiction(self)
        if contradicted:
            raise OdtError(contradicted)

    @property
    def kept(self) -> Replay | None:
        """Which samples the device keeps; None for none."""
        if self.replay is None:
            return None
        usual = BALANCED if self.loss.target == LABEL else RESERVOIR
        return Replay(self.replay, self.replay_policy or usual, self.replay_in, self.replay_of)

    @property
    def batches(self) -> Accumulation | None:
        """How gradients are summed; None where every sample updates what trains."""
        return None if self.batch is None else Accumulation(self.optimizer, self.accumulator)

    @property
    def splits(self) -> bool:
        """Whether the C has functions for the features of a sample."""
        return self.split or self.replay_of == FEATURES

    @classmethod
    def of(cls, **keywords: Any) -> Options:
        """Options from plain values: loss and optimizer by name, what they take beside them.

        ``Options.of(optimizer="momentum", momentum=0.8, learning_rate=0.1, loss="mse")``
        """
        return cls(**from_plain(keywords))

    @classmethod
    def of_json(cls, plain: Mapping[str, Any]) -> Options:
        """The inverse of `to_json`; OdtError, in one line, for anything else."""
        names = {e.name for e in fields(cls) if e.metadata["remakes"]}
        names |= {*OF_OPTIMIZERS, *PARAMETERS}
        unknown = [name for name in plain if name not in names]
        if unknown:
            raise OdtError(
                f"unknown option {shown(unknown[0])}; known are {', '.join(sorted(names))}"
            )
        for name in ("loss", "optimizer"):
            if name in plain and not isinstance(plain[name], str):
                raise OdtError(f"{name} is {shown(plain[name])}; it must be a name")
        return cls.of(**plain)

    def to_json(self) -> dict | None:
        """The plain values that `of` makes options for the same numbers of; None if there are none.

        There are none where a scheme, a loss or an optimizer is the compiling program's own.
        """
        is_known = type(LOSSES.get(self.loss.name)) is type(self.loss)
        if isinstance(self.scheme, UpdateScheme) or not is_known:
            return None
        plain = {e.name: getattr(self, e.name) for e in fields(self) if e.metadata["remakes"]}
        values = plain_optimizer(self.optimizer) | {"loss": self.loss.name} | self.loss.parameters
        return plain | {"scheme": os.fspath(self.scheme)} | values


def _described() -> str:
    """The options for a docstring."""
    return "\n".join(f"    {e.name} : {e.metadata['help']}" for e in fields(Options))


Options.__doc__ = f"{Options.__doc__}\n\n    Attributes\n    ----------\n{_described()}\n    "
