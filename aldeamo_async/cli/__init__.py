"""The command line `aldeamo` (the extra `cli`: click and rich).

Rule: a command reads options, calls the client and shows what came of it; whatever else it needs to
know lives below.
"""

from ._app import aldeamo

__all__ = ["aldeamo"]
