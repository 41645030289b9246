"""The one exception that a user's mistake raises."""


class OdtError(ValueError):
    """A model, scheme, budget or data set that cannot be used, said in one line.

    The text names what was found, where, what is allowed and what to do. The command line prints
    it without a traceback and exits with code 2.
    """


class BudgetError(OdtError):
    """A program is larger than the memory of its board."""
