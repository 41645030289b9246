"""`--data` and how it is read: flags that several commands have."""

from __future__ import annotations

from collections.abc import Collection
from functools import wraps
from typing import Any

import click

from .options import Command, Decorator

_DATA = (
    "Samples: an .npz file with x, y, optional x_test, y_test; a folder of images, .wav recordings "
    "or .csv tables, by class or with labels.csv; or a .csv table. See docs/data.md."
)
_FLAGS = {
    "normalize": click.option(
        "--normalize",
        metavar="HOW",
        help="How a pixel of 8 bits becomes a number: 0..1, -1..1, imagenet, none, or mean=..,"
        "std=.. (of pixels from 0 to 1; of measured values as they are), a number or one a channel."
        "  [default: as the codes of an int8 model tell]",
    ),
    "audio": click.option(
        "--audio",
        metavar="FRONT_END",
        help="Features of recordings: log-mel or mfcc, with rate=, window= and hop= (ms), bands=, "
        "coefficients=, low=, high=, mel=htk|slaney, spectrum=power|magnitude, offset=.  "
        "[default: log-mel,window=32,hop=16,bands=40]",
    ),
    "window": click.option(
        "--window",
        type=click.IntRange(min=1),
        metavar="N",
        help="Rows of a table that are one sample.  [default: what the model takes]",
    ),
    "stride": click.option(
        "--stride",
        type=click.IntRange(min=1),
        metavar="N",
        help="Rows from one sample to the next.  [default: a window]",
    ),
    "class_names": click.option(
        "--class-names",
        metavar="NAMES",
        help="Classes in the order of their labels, separated by commas, or a FILE with one a line."
        "  [default: the order of their names]",
    ),
    "augment": click.option(
        "--augment",
        metavar="HOW",
        help="Change each training sample, by commas: flip, shift=N, scale=F, brightness=F, "
        "cutout=N, noise=F; in pixels and in the units of the model's input.",
    ),
}


def data_options(required: bool = False, but: Collection[str] = ()) -> Decorator:
    """``--data``, and flags for a `Reading`, which the command gets as `reading`.

    but : names of those that it has no use for, or has by another decorator.
    """
    chosen = {name: flag for name, flag in _FLAGS.items() if name not in but}

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_reading(**options: Any) -> Any:
            from tvm_ondevice_train.data import Reading  # here: it loads numpy

            reading = Reading.of(**{name: options.pop(name) for name in chosen})
            return command(**options, reading=reading)

        decorated: Command = with_reading
        for flag in reversed(chosen.values()):
            decorated = flag(decorated)
        data = click.option(
            "--data", required=required, type=click.Path(), metavar="PATH", help=_DATA
        )
        return data(decorated)

    return decorate
