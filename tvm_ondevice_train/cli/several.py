"""Options that take several values: ``--scheme head bias:3 --lr 0.01 0.003``."""

from __future__ import annotations

import click


class SeveralValues(click.Command):
    """A command whose options with `multiple` take all words up to the next option.

    Its arguments stand before these options. The option may be repeated as well.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the option before each of its values."""
        several = {
            name
            for param in self.params
            if isinstance(param, click.Option) and param.multiple
            for name in param.opts
        }
        spread: list[str] = []
        option, is_first = None, False
        for word in args:
            if word.startswith("-"):
                option, is_first = word if word in several else None, True
                spread.append(word)
            else:
                spread += [word] if option is None or is_first else [option, word]
                is_first = False
        return super().parse_args(ctx, spread)
