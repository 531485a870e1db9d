"""Answer the people who write in on the web channel; killed, it goes on from its file.

ALDEAMO_API_KEY=... python reply_bot.py cursor.json
"""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from aldeamo_async import AldeamoError, AsyncBotsClient, DeliveryUnknown, WatchCursor

CHANNEL = "web"  # facebook and web can be both read and sent to
ANSWERS = {
    "saldo": "Tu saldo está al día.",
    "asesor": "Un asesor te escribirá hoy.",
}
GREETING = "Hola. Escribe SALDO o ASESOR."
OWN = {*ANSWERS.values(), GREETING}

log = logging.getLogger("reply_bot")


def answer_to(text: str | None) -> str | None:
    """Return what to say, or nothing."""
    # The API does not say who wrote a message, nor whether yours are among them: a bot that could
    # answer itself would never stop.
    if not text or text in OWN:
        return None
    return next((said for word, said in ANSWERS.items() if word in text.lower()), GREETING)


def save(cursor: WatchCursor, file: Path) -> None:
    """Write the cursor so that a kill leaves the old one or the new one, never half of one."""
    fresh = file.with_suffix(".new")
    fresh.write_text(cursor.to_json())
    os.replace(fresh, file)


async def serve(client: AsyncBotsClient, file: Path, every: float = 5.0) -> None:
    """Answer every message that comes, once."""
    since = WatchCursor.from_json(file.read_text()) if file.exists() else None
    async with client.watch(CHANNEL, since=since, every=every) as messages:
        save(messages.cursor, file)
        log.info("watching %s", CHANNEL)
        async for message in messages:
            # Saved before the answer goes out: a kill in between leaves one person without an
            # answer. Saved after it, a kill would send somebody the same answer twice.
            save(messages.done(), file)
            answer = answer_to(message.text)
            if answer is None:
                continue
            try:
                await client.send(CHANNEL, message.user_id, answer)
            except DeliveryUnknown as error:
                log.warning("the answer to message %s may have arrived: %s", message.id, error)
            except AldeamoError as error:
                log.warning("the answer to message %s did not go out: %s", message.id, error)


async def main(file: Path, every: float = 5.0) -> None:
    """Serve until the program is ended."""
    async with AsyncBotsClient.from_env() as client:
        await serve(client, file, every)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        asyncio.run(main(Path(sys.argv[1]), *map(float, sys.argv[2:])))
