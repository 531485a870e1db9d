"""Between JSON and the nouns: every oddity of the wire is known here and nowhere else.

Rule: what cannot become a noun is ``Malformed``, with the path of every fault; what can, but should
not have had to, is counted as drift.
"""

from ._codec import Codec
from ._envelope import Envelope
from ._faults import Malformed
from ._kinds import is_list, is_object

__all__ = ["Codec", "Envelope", "Malformed", "is_list", "is_object"]
