"""Watching a channel for new messages, over an API that has no webhook.

Rule: what to read and what is new is decided without I/O; one module here awaits the reads, and one
the permits.
"""

from ._cursor import WatchCursor
from ._open import check_client_ids, engine_for_watch
from ._pace import Pace
from ._watch import Since, Watch

__all__ = ["Pace", "Since", "Watch", "WatchCursor", "check_client_ids", "engine_for_watch"]
