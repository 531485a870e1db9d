"""--rate, --burst and --shared-limit: which limiter a command uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from aldeamo_async import SharedTokenBucket, TokenBucket, UsageError
from aldeamo_async.cli._limit import limiter_of
from aldeamo_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.conftest import Cli
    from support.valkey import ValkeyServer

ROWS = ["channel,client_id,text", *(f"sms,5730000000{n:02d},Hola {n}" for n in range(8))]


def test_the_options_choose_the_limiter() -> None:
    """No rate: none; a rate: the bucket of this process; a store as well: one for all."""
    assert limiter_of(None, None, "default") is None
    assert isinstance(limiter_of(5, None, "default", 3), TokenBucket)
    shared = limiter_of(5, "valkey://:hush@h:1/0", "acme", 3)
    assert isinstance(shared, SharedTokenBucket)
    assert re.search(r"'acme' in valkey://h:1/0: 5/s, burst 3", repr(shared))


@pytest.mark.parametrize(
    ("store", "burst", "said"), [("valkey://h", None, "--shared-limit"), (None, 3.0, "--burst")]
)
def test_what_needs_a_rate_says_so(store: str | None, burst: float | None, said: str) -> None:
    """Without --rate there is nothing to share and nothing to hold back."""
    with pytest.raises(UsageError, match=f"{said} goes with --rate"):
        limiter_of(None, store, "default", burst)


def test_a_file_is_sent_at_a_shared_rate(
    served: Callable[[Sandbox], Cli],
    write: Callable[..., Path],
    valkey_server: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store comes from the environment, so its password is in no command line."""
    sandbox = Sandbox()
    cli = served(sandbox)
    monkeypatch.setenv("ALDEAMO_SHARED_LIMIT", valkey_server.url())
    done = cli("send-many", write(*ROWS), "--rate", 200, "--limit-name", "cli")
    assert done.exit_code == 0, done.stderr
    assert len(sandbox.deliveries) == 8
