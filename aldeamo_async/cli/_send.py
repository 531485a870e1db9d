"""``aldeamo send``: one message and its verdict.

Rule: the exit code is the verdict; an unknown fate is never shown as a failure that may be
repeated.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .._errors import AldeamoError, DeliveryUnknown, UsageError
from ._common import common, common_options
from ._exit import code_of, explained

if TYPE_CHECKING:
    from .._models import Receipt

INTERRUPTED = (
    "Interrupted. If the request had left, the message MAY have been delivered; "
    "look at the recipient's conversation before you resend it."
)


@click.command("send")
@common_options(hidden=True)
@click.argument("channel")
@click.argument("client_id")
@click.argument("text")
def send(channel: str, client_id: str, text: str) -> None:
    """Send TEXT to one client of CHANNEL: facebook, sms or web."""
    options = common()
    with explained(as_json=options.json, interrupted=INTERRUPTED):
        client = options.client()

        async def work() -> Receipt:
            async with client:
                return await client.send(channel, client_id, text)

        try:
            receipt: Receipt = options.run(work)
        except UsageError:
            raise
        except AldeamoError as error:
            if not options.json:
                raise
            _print_verdict(error)
            click.get_current_context().exit(code_of(error))
    if options.json:
        click.echo(
            json.dumps(
                {
                    "verdict": "sent",
                    "message_id": receipt.message_id,
                    "text": receipt.text,
                    "attempts": len(receipt.attempts),
                },
                ensure_ascii=False,
            )
        )
    else:
        click.echo(f"Sent. The API calls it message {receipt.message_id or 'without a number'}.")


def _print_verdict(error: AldeamoError) -> None:
    document = {
        "verdict": "unknown" if isinstance(error, DeliveryUnknown) else "rejected",
        "error": type(error).__name__,
        "help": str(error),
        "attempts": len(error.attempts),
    }
    click.echo(json.dumps(document, ensure_ascii=False))
