"""``aldeamo sandbox``: a double of the API on this machine, until Ctrl-C.

Rule: it listens on loopback unless told otherwise in so many words, for it answers whoever asks.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Final
from urllib.parse import urljoin

import anyio
import click

from .._errors import UsageError
from .._settings import is_loopback
from ..sandbox import Sandbox, Weather
from ._common import SANDBOX_KEY, common, common_options
from ._exit import Exit, Failure, explained
from ._extras import need_sandbox
from ._interrupt import Interrupts

LOOK_UP_SECONDS: Final = 0.1  # how soon a Ctrl-C is seen
KEPT: Final = 1000  # deliveries; a sandbox that runs for weeks must not fill the memory


@click.command("sandbox")
@common_options(hidden=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8025,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--weather",
    type=click.Choice(["calm", "rough"]),
    default="calm",
    show_default=True,
    help="Whether requests go wrong: never, or about one in ten in every way a busy gateway knows.",
)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Requests a second; above it 429."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the users and the weather."
)
@click.option("--allow-remote", is_flag=True, help="Listen on an address that others can reach.")
def sandbox(
    host: str, port: int, weather: str, rate: float | None, seed: int, allow_remote: bool
) -> None:
    """Serve a sandbox of the API, with an inbox to look at, until Ctrl-C."""
    options = common()
    with explained(as_json=options.json):
        need_sandbox()
        if not (allow_remote or is_loopback(host)):
            raise UsageError(
                f"{host} can be reached from other machines; use 127.0.0.1, or add "
                f"--allow-remote if you mean it."
            )
        double = Sandbox(
            seed=seed,
            api_key=SANDBOX_KEY,
            auth_name=options.auth_name,
            rate=rate,
            weather=Weather.rough(seed) if weather == "rough" else Weather.calm(),
            keep_deliveries=KEPT,
        )
        with Interrupts() as interrupts:
            try:
                options.run(partial(_serve, double, host, port, interrupts, options.json))
            except OSError as error:
                raise Failure(
                    f"Cannot listen on {host} port {port}: {error.strerror}. Try another "
                    f"--port (0 takes a free one).",
                    Exit.USAGE,
                    kind="OSError",
                    as_json=options.json,
                ) from None
        _summary(double, as_json=options.json)


async def _serve(
    double: Sandbox, host: str, port: int, interrupts: Interrupts, as_json: bool
) -> None:
    from ..sandbox import serve  # here, for it needs the extra `sandbox`

    async with serve(double, host=host, port=port) as url:
        environment = {"ALDEAMO_BASE_URL": url, "ALDEAMO_API_KEY": SANDBOX_KEY}
        if as_json:
            click.echo(json.dumps(environment))
        else:
            click.echo("\n".join(f"export {name}={value}" for name, value in environment.items()))
            click.echo(
                f"The sandbox is running; nothing is delivered to anybody. Ctrl-C ends it.\n"
                f"Look at its inbox in a browser: {urljoin(url, '/inbox')}",
                err=True,
            )
        # A signal handler can set no event on every loop, so the number is looked at.
        while not interrupts.count:  # noqa: ASYNC110
            await anyio.sleep(LOOK_UP_SECONDS)


def _summary(double: Sandbox, *, as_json: bool) -> None:
    if as_json:
        document = {
            "requests": dict(double.requests),
            "delivered": double.delivered,
            "duplicates": double.duplicates,
            "faults": dict(double.faults),
        }
        click.echo(json.dumps(document))
        return
    requests = ", ".join(f"{name} {count}" for name, count in sorted(double.requests.items()))
    click.echo(
        f"Requests: {requests or 'none'}. Delivered {double.delivered}, duplicates "
        f"{double.duplicates}, "
        f"faults played {double.faults.total()}.",
        err=True,
    )
