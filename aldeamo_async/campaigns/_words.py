"""Words that more than one file goes by: what a ledger writes by itself, and what ends a run."""

from __future__ import annotations

from typing import Final

INTERRUPTED: Final = "interrupted"
INTERRUPTED_DETAIL: Final = (
    "The run was killed, or cut off from its ledger, after the message was marked; "
    "it may have gone out."
)
ASSUMED: Final = "assumed sent"

REFUSED_KEY: Final = "the API refuses the key"
EMAIL: Final = "email"  # the channel of an e-mail's row, and of no other row
