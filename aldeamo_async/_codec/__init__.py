"""Between JSON and the nouns: every oddity of the wire is known here and nowhere else.

Rule: what cannot become a noun is ``Malformed``, with the path of every fault; what can, but should
not have had to, is counted as drift.
"""

from ._codec import Codec
from ._envelope import Envelope
from ._faults import Malformed
from ._json import json_library
from ._kinds import is_list, is_object
from ._stream import CUT, RowStream, Stage

__all__ = [
    "CUT",
    "Codec",
    "Envelope",
    "Malformed",
    "RowStream",
    "Stage",
    "is_list",
    "is_object",
    "json_library",
]
