"""The assertion that matters most: nobody got a message twice.

Rule: the sandbox's delivery log is the judge, never what the client or the application believes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..sandbox import Delivery, Sandbox

_SHOWN: Final = 10  # messages; a failed run of thousands must stay readable


def assert_no_duplicates(sandbox: Sandbox) -> None:
    """Assert that no two deliveries of a sandbox have the same channel, client and text.

    Raises:
        AssertionError: some have; it lists which and when, ids masked and texts left out.
    """
    __tracebackhide__ = True
    repeated = _repeated(sandbox.deliveries)
    # A sandbox that keeps only some deliveries counts its repeats all the same.
    extra = max(sandbox.duplicates, sum(len(same) - 1 for same in repeated))
    if extra:
        raise AssertionError(_told(sandbox, extra, repeated))


def _repeated(deliveries: Iterable[Delivery]) -> list[list[Delivery]]:
    by_message: defaultdict[tuple[str, str, str], list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_message[delivery.channel, delivery.client_id, delivery.text].append(delivery)
    return [same for same in by_message.values() if len(same) > 1]


def _told(sandbox: Sandbox, extra: int, repeated: list[list[Delivery]]) -> str:
    lines = [f"{extra} of {sandbox.delivered} deliveries repeat an earlier one."]
    lines += [f"  {len(same)} times: {same[0]!r}{_later(same)}" for same in repeated[:_SHOWN]]
    if len(repeated) > _SHOWN:
        lines.append(f"  and {len(repeated) - _SHOWN} more messages")
    lines.append(
        "Somebody got the same message twice. Look for what sends again after a DeliveryUnknown, a "
        "timeout or a cancellation; where a test means to write the same to the same client, let "
        "its texts differ."
    )
    return "\n".join(lines)


def _later(same: list[Delivery]) -> str:
    return ", again at " + ", ".join(f"{delivery.at:.3f}" for delivery in same[1:])
