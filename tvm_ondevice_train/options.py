"""The options of `compile`, each said once: for Python, the command line and `tune`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from relay_passes.formats import FORMATS
from relay_passes.loss_parameters import PARAMETERS
from relay_passes.optimizers import (
    ACCUMULATORS,
    HYPERPARAMETERS,
    MOST_SAMPLES,
    OPTIMIZERS,
    SGD,
    Accumulation,
    Optimizer,
    optimizer_of,
)

from .boards import DEFAULT_BOARD
from .codegen.prefix import wrong_prefix
from .errors import OdtError
from .files.checked_json import shown
from .files.name_list import name_list
from .head_options import wrong_head, wrong_names, wrong_temperature
from .losses import CROSS_ENTROPY, LABEL, LOSSES, Loss, loss_of
from .replay import (
    BALANCED,
    FEATURES,
    KINDS,
    MEMORIES,
    MOST_SLOTS,
    POLICIES,
    RAM,
    RESERVOIR,
    SAMPLE,
    Replay,
)
from .scheme import UpdateScheme
from .tuning import Tuning

BACKWARDS = ("auto", "float32", "int16", *FORMATS)
HEADS = ("auto", "float", "int8", "cosine")
HEAD_STARTS = ("auto", "file", "random")
PREFERENCES = ("memory", "speed")
SETTINGS = ("state_dtype", "lr_scale")  # of an optimizer, beside its hyper-parameters
MOST_CLASSES = 1 << 16  # a classifier of more has more parameters than any board memory
_CLASSIFIER = f"a classifier needs an integer from 2 to {MOST_CLASSES:,}"


def _option(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    check: Callable[[Any], str | None] = lambda value: None,
    tunes: bool = True,
    without: str | None = None,
) -> Any:
    """A field of `Options`.

    flag : on the command line; None for an option of Python alone.
    without : what holds where it is None.
    check : what is wrong with a value, if anything is.
    tunes : whether `tune` needs it to make the same kernels.
    """
    facts = {"flag": flag, "metavar": metavar, "choices": choices, "check": check}
    return field(
        default=default, metadata={"help": help, **facts, "tunes": tunes, "without": without}
    )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _batch(value: Any) -> str | None:
    if value is None or (_is_count(value, 1) and value <= MOST_SAMPLES):
        return None
    return f"a batch has an integer from 1 to {MOST_SAMPLES:,} samples"


def _classes(value: Any) -> str | None:
    if value is None or (_is_count(value, 1) and value <= MOST_CLASSES):
        return None
    return _CLASSIFIER


def _bytes(value: Any) -> str | None:
    return None if value is None or _is_count(value, 1) else "it must be a number of bytes above 0"


def _slots(value: Any) -> str | None:
    if value is None or (_is_count(value, 1) and value <= MOST_SLOTS):
        return None
    return f"it must be a number of samples from 1 to {MOST_SLOTS:,}"


def _scheme(value: Any) -> str | None:
    if isinstance(value, (str, os.PathLike, UpdateScheme)):
        return None
    return "it must be a name, a file or an UpdateScheme"


def _is_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "it must be a name"


def _is_flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "it must be true or false"


def _seed(value: Any) -> str | None:
    return None if _is_count(value, 0) else "it must be an integer of at least 0"


def _prefix(value: Any) -> str | None:
    if value is None:
        return None
    return _is_text(value) or wrong_prefix(value)


@dataclass(frozen=True)
class Options:
    """What a training step is compiled for."""

    classes: int | None = _option(
        None,
        "Replace the classifier by a fresh float32 one with N outputs.",
        flag="--classes",
        metavar="N",
        check=_classes,
        without="train the model's own last layer",
    )
    head: str = _option(
        "auto",
        "How the model's own last layer is computed: int8, as quantized; float, as a float32 layer "
        "of its values, whose output is not quantized, which learns better; auto, float where "
        "it is int8, trains and fits the board. With --classes: cosine, a fresh layer that "
        "compares directions; a few samples make a class of it, without a backward.",
        flag="--head",
        choices=HEADS,
        check=_is_text,
    )
    temperature: float = _option(
        10.0,
        "What a cosine head multiplies cosines by.",
        flag="--temperature",
        metavar="F",
        check=wrong_temperature,
    )
    max_classes: int | None = _option(
        None,
        "Room for M classes, of which --classes are in use at the start: odt_add_class() adds one "
        "on the device.",
        flag="--max-classes",
        metavar="N",
        check=_classes,
        without="as many as --classes",
    )
    head_start: str = _option(
        "auto",
        "Where a fresh head starts: file, from the file's own classifier, which must have as many "
        "outputs, or with the names of both from its rows of equal names; random; auto, by the "
        "names where they are given, else random.",
        flag="--head-start",
        choices=HEAD_STARTS,
        check=_is_text,
        tunes=False,
    )
    class_names: tuple[str, ...] | None = _option(
        None,
        "Names of the classes, separated by commas, or a FILE with one a line.",
        flag="--class-names",
        metavar="NAMES",
        check=wrong_names,
        tunes=False,
        without="numbers",
    )
    file_class_names: tuple[str, ...] | None = _option(
        None,
        "The same of the file's own classifier.",
        flag="--file-class-names",
        metavar="NAMES",
        check=wrong_names,
        tunes=False,
        without="numbers",
    )
    scheme: str | os.PathLike | UpdateScheme = _option(
        "head",
        "What trains: full, head, last:K (the last K layers and the head), bias:K (the last K "
        "biases and the head), or a FILE.json, which may train some of a weight's input channels.",
        flag="--scheme",
        metavar="SCHEME",
        check=_scheme,
    )
    loss: Loss = _option(
        CROSS_ENTROPY,
        "What is minimised: " + "; ".join(f"{n}, {loss.help}" for n, loss in LOSSES.items()) + ".",
        flag="--loss",
        choices=tuple(LOSSES),
    )
    optimizer: Optimizer = _option(
        SGD(),
        "How trained values follow their gradients.",
        flag="--optimizer",
        choices=tuple(OPTIMIZERS),
    )
    batch: int | None = _option(
        None,
        "Learn from batches of N samples: each adds its gradients to sums in SRAM, and their mean "
        "updates what trains. The device can be told another N.",
        flag="--batch",
        metavar="N",
        check=_batch,
        without="each sample updates what trains, and nothing is summed",
    )
    accumulator: str = _option(
        "auto",
        "Format of the sums of --batch: float32; int16, codes with a scale for each row; auto, "
        "int16 for quantized parameters, float32 for others.",
        flag="--accumulator",
        choices=ACCUMULATORS,
        check=_is_text,
    )
    backward: str = _option(
        "auto",
        "Arithmetic of the backward: float32; int16, gradients of 1x1 and depthwise layers in "
        f"integers; {', '.join(FORMATS)}, that and adjoints stored between kernels in fewer "
        "bits; auto, int16 unless float32 takes less memory.",
        flag="--backward",
        choices=BACKWARDS,
        check=_is_text,
    )
    prefer: str = _option(
        "memory",
        "memory: no kernel's scratch raises the peak of the arena; speed: each kernel has the "
        "scratch that makes it fastest.",
        flag="--prefer",
        choices=PREFERENCES,
        check=_is_text,
    )
    rollback: bool = _option(
        True,
        "Keep what a step writes over until it ends, so that one whose loss or gradient is not "
        "finite changes nothing.",
        flag="--rollback/--no-rollback",
        check=_is_flag,
    )
    replay: int | None = _option(
        None,
        "Keep N old samples on the device, to be learned again between new ones.",
        flag="--replay",
        metavar="N",
        check=_slots,
        tunes=False,
        without="none",
    )
    replay_in: str = _option(
        RAM,
        "Where they are kept: ram, or flash, where they outlast a loss of power.",
        flag="--replay-in",
        choices=MEMORIES,
        check=_is_text,
        tunes=False,
    )
    replay_policy: str | None = _option(
        None,
        "Which are kept: ring, the newest; reservoir, each that came with the same chance; "
        "balanced, as many of each class as can be.",
        flag="--replay-policy",
        choices=POLICIES,
        tunes=False,
        without="balanced for labels, reservoir for values",
    )
    replay_of: str = _option(
        SAMPLE,
        "What of them is kept: the sample, or its features, what the layers make of it that do not "
        "train; learning them again takes less time, and gives the same bits.",
        flag="--replay-of",
        choices=KINDS,
        check=_is_text,
        tunes=False,
    )
    split: bool = _option(
        False,
        "Run first what needs the sample and nothing that trains, and give the C functions that go "
        "on from its results, the features of the sample: odt_features, odt_train_features.",
        check=_is_flag,
        tunes=False,
    )
    board: str = _option(
        DEFAULT_BOARD,
        "The board, from `ondevice-train boards`.",
        flag="--board",
        metavar="NAME",
        check=_is_text,
    )
    sram_bytes: int | None = _option(
        None,
        "SRAM budget, e.g. 256KB.",
        flag="--sram",
        metavar="SIZE",
        check=_bytes,
        without="the board's",
    )
    flash_bytes: int | None = _option(
        None,
        "Flash budget, e.g. 1MB.",
        flag="--flash",
        metavar="SIZE",
        check=_bytes,
        without="the board's",
    )
    seed: int = _option(0, "Seed of a fresh classifier's weights.", check=_seed, tunes=False)
    tuning: str | os.PathLike | Mapping | Tuning | None = _option(
        None,
        "A file that `tune` wrote, or none.",
        flag="--tuning",
        metavar="FILE",
        tunes=False,
        without="the package's own for the board's CPU",
    )
    prefix: str | None = _option(
        None,
        "What names of the C begin with, and those of its files, so that several models go into "
        "one firmware: NAME_init() in NAME_model.h.",
        flag="--prefix",
        metavar="NAME",
        check=_prefix,
        tunes=False,
        without="odt, in model.h",
    )
    dump_ir: str | os.PathLike | None = _option(
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
        if self.seed and self.classes is None:
            raise OdtError(
                f"seed is {self.seed}, but it only draws the fresh head that classes make; "
                "give classes, or no seed"
            )
        if self.classes == 1 and self.loss.target == LABEL:
            raise OdtError(f"classes is 1; {_CLASSIFIER}, but for one logit, with loss bce, say")
        wrong = wrong_head(self)
        if wrong:
            raise OdtError(wrong)
        if self.batch is None and self.accumulator != "auto":
            raise OdtError(
                f"accumulator is {self.accumulator}, but only a batch has sums; give batch"
            )
        how = (self.replay_in, self.replay_policy, self.replay_of)
        if self.replay is None and how != (RAM, None, SAMPLE):
            raise OdtError(
                "replay_in, replay_policy and replay_of say how samples are kept; give replay, too"
            )

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
        own = _given(keywords, (*HYPERPARAMETERS, *SETTINGS))
        parameters = _given(keywords, PARAMETERS)
        optimizer = keywords.pop("optimizer", SGD.name)
        if isinstance(optimizer, Optimizer):
            own = {**_values_of(optimizer), **own}
        try:
            name = optimizer.name if isinstance(optimizer, Optimizer) else optimizer
            keywords["optimizer"] = optimizer_of(name, own)
        except ValueError as error:
            raise OdtError(str(error)) from None
        keywords["loss"] = loss_of(keywords.get("loss", CROSS_ENTROPY), parameters)
        for name in ("class_names", "file_class_names"):
            if keywords.get(name) is not None:
                keywords[name] = name_list(keywords[name])
        return cls(**keywords)

    @classmethod
    def of_json(cls, plain: Mapping[str, Any]) -> Options:
        """The inverse of `to_json`; OdtError, in one line, for anything else."""
        names = {e.name for e in fields(cls) if e.metadata["tunes"]}
        names |= {*HYPERPARAMETERS, *SETTINGS, *PARAMETERS}
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
        """The plain values that `of` makes options for the same kernels of; None if there are none.

        There are none where a scheme, a loss or an optimizer is the compiling program's own.
        """
        is_known = type(LOSSES.get(self.loss.name)) is type(self.loss)
        if isinstance(self.scheme, UpdateScheme) or not is_known:
            return None
        plain = {e.name: getattr(self, e.name) for e in fields(self) if e.metadata["tunes"]}
        named = {"loss": self.loss.name, "optimizer": self.optimizer.name}
        parameters = _values_of(self.optimizer) | self.loss.parameters
        return plain | named | {"scheme": os.fspath(self.scheme)} | parameters


def _given(keywords: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of `names` that `keywords` has, and then has no longer; None is not given."""
    found = {name: keywords.pop(name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _values_of(optimizer: Optimizer) -> dict[str, Any]:
    """What makes it again, as plain values."""
    values = {one.name: getattr(optimizer, one.name) for one in optimizer.described()}
    return values | {"state_dtype": optimizer.state_dtype, "lr_scale": dict(optimizer.lr_scale)}


def _described() -> str:
    """The options for a docstring."""
    return "\n".join(f"    {e.name} : {e.metadata['help']}" for e in fields(Options))


Options.__doc__ = f"{Options.__doc__}\n\n    Attributes\n    ----------\n{_described()}\n    "
