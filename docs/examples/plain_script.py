"""Send the messages of a CSV file (columns client_id,name) and keep account of every one.

ALDEAMO_API_KEY=... python plain_script.py customers.csv
"""

import asyncio
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from aldeamo_async import AsyncBotsClient, Outgoing, Rejected, Sent, TokenBucket, Unknown


def messages(path: Path) -> Iterator[Outgoing]:
    # A generator: a file of a million rows is never in memory at once.
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield Outgoing("sms", row["client_id"], f"Hola {row['name']}, tu pedido va en camino.")


async def main(path: Path) -> int:
    sent = 0
    with path.with_suffix(".left.csv").open("w", newline="", encoding="utf-8") as file:
        left = csv.writer(file)
        left.writerow(("client_id", "fate", "why"))
        async with (
            AsyncBotsClient.from_env(limiter=TokenBucket(100)) as client,
            client.send_many(messages(path), concurrency=50) as outcomes,
        ):
            async for outcome in outcomes:
                match outcome:
                    case Sent():
                        sent += 1
                    case Rejected(outgoing, error):
                        left.writerow((outgoing.client_id, "not sent", error))
                    case Unknown(outgoing, error):
                        # It may have arrived: look at the conversation before anybody resends it.
                        left.writerow((outgoing.client_id, "unknown", error))
        stats = client.stats()
    print(f"{sent} sent, {stats.rejected} not sent, {stats.unknown} unknown")
    return 0 if stats.rejected == stats.unknown == 0 else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
