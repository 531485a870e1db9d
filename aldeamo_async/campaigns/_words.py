"""What ledgers write into a message's reason by themselves: the same words in all of them."""

from __future__ import annotations

from typing import Final

INTERRUPTED: Final = "interrupted"
INTERRUPTED_DETAIL: Final = (
    "The run was killed, or cut off from its ledger, after the message was marked; "
    "it may have gone out."
)
ASSUMED: Final = "assumed sent"
