"""``aldeamo doctor``: what works with this key and this server, and the dialect to use.

Rule: what is shown can go into a support ticket: no key, no number, no name, no text.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from .._settings import DEFAULT_BASE_URL, Dialect
from ._common import common, common_options
from ._examine import Findings, Seeing, examine
from ._exit import Failure, code_of, explained
from ._tls import look_at_tls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._errors import AldeamoError
    from .._wire import Transport

_SAME_TIME: Final = 1.5  # seconds; a Date header has whole ones


@click.command("doctor")
@common_options(hidden=True)
@click.argument("channel", default="whatsapp")
@click.option(
    "--reads",
    type=click.IntRange(1, 50),
    default=5,
    show_default=True,
    help="How often the users are read, to tell the latency.",
)
def doctor(channel: str, reads: int) -> None:
    """Find out what works with this key and server; reads CHANNEL, never sends.

    Tries where the key may go, looks at TLS, latency, clock and time zone, and prints the Dialect
    to use. CHANNEL is facebook, twitter, web or whatsapp (the default).
    """
    options = common()
    with explained(as_json=options.json):
        seen: list[Seeing] = []

        def watched(inner: Transport) -> Transport:
            seen.append(Seeing(inner))
            return seen[0]

        client = options.client(wrap=watched)
        dialect = attrs.evolve(
            options.dialect, base_url=options.resolved_base_url or DEFAULT_BASE_URL
        )

        async def visit() -> Findings:
            # The sandbox is in this process, and its base URL somebody else's.
            tls = None if options.sandbox else await look_at_tls(dialect.base_url)
            async with client:
                return await examine(client, seen[0], dialect, Findings(channel, tls), reads)

        found: Findings = options.run(visit)
    if options.json:
        click.echo(json.dumps(_document(found), ensure_ascii=False))
    else:
        for name, line in _lines(found):
            click.echo(f"{name:<11} {line}")
    if found.error is not None:
        _fail(found.error, as_json=options.json)


def _fail(error: AldeamoError, *, as_json: bool) -> None:
    raise Failure(str(error), code_of(error), kind=type(error).__name__, as_json=as_json)


def _lines(found: Findings) -> Iterator[tuple[str, str]]:
    for tried in found.tries:
        way = f"{tried.dialect.base_url} with the key in {tried.dialect.auth_in}"
        yield ("works", way) if tried.error is None else ("no", f"{way}: {_short(tried.error)}")
    yield "TLS", _tls(found)
    if found.works is not None:
        yield "latency", _latency(found)
        yield "clock", _clock(found)
        yield "time zone", _zone(found)
        drift = sorted(found.drift.items())
        yield "drift", "none" if not drift else f"{len(drift)} kinds of oddity:"
        yield from (("", f"{count} x {name}") for name, count in drift)
    if found.suggestion is not None:
        yield "use", code_for(found.suggestion)


def _short(error: AldeamoError) -> str:
    status = getattr(error, "http_status", None)
    return type(error).__name__ + ("" if status is None else f" (HTTP {status})")


def _tls(found: Findings) -> str:
    tls = found.tls
    if tls is None:
        return "none"
    if tls.expires is None:
        return f"{tls.problem}; where a proxy stands between, it sees the server instead"
    days = (tls.expires - datetime.now(UTC)).days
    return f"{tls.version}, certificate by {tls.issuer}, {days} days left"


def _latency(found: Findings) -> str:
    low, middle, high = (1000 * seconds for seconds in _spread(found.latencies))
    failed = f"; {found.failed_reads} more reads failed" if found.failed_reads else ""
    return (
        f"{len(found.latencies)} reads of {found.users} users: "
        f"min {low:.0f} ms, median {middle:.0f} ms, max {high:.0f} ms{failed}"
    )


def _spread(values: list[float]) -> tuple[float, float, float]:
    return values[0], median(values), values[-1]


def _clock(found: Findings) -> str:
    skew = found.skew
    if skew is None:
        return "not told: the answers carry no Date"
    if abs(skew) <= _SAME_TIME:
        return "the server's agrees with this machine's"
    where = "ahead of" if skew > 0 else "behind"
    return f"the server's is {abs(skew):.0f} s {where} this machine's"


def _zone(found: Findings) -> str:
    zone = found.zone
    if zone is None:
        return "not told: no last_active fits a last message"
    surely = "" if zone.sure else "; too few to be sure"
    return f"{zone.label} at present, by {zone.votes} of {zone.of} clients{surely}"


def code_for(dialect: Dialect) -> str:
    """Return the dialect as code to paste, with what is not the default."""
    usual = Dialect()
    changed = [
        f"{name}={_written(value)}"
        for name in (field.name for field in attrs.fields(Dialect))
        if (value := getattr(dialect, name)) != getattr(usual, name)
    ]
    return f"Dialect({', '.join(changed)})"


def _written(value: object) -> str:
    return repr(str(value) if isinstance(value, tzinfo) else value)


def _document(found: Findings) -> dict[str, Any]:
    tls, zone, latencies = found.tls, found.zone, found.latencies
    low, middle, high = _spread(latencies) if latencies else (None, None, None)
    return {
        "works": found.works is not None,
        "channel": found.channel,
        "tries": [
            {
                "base_url": tried.dialect.base_url,
                "auth_in": tried.dialect.auth_in,
                "error": None if tried.error is None else _short(tried.error),
            }
            for tried in found.tries
        ],
        "tls": None
        if tls is None
        else {
            "version": tls.version,
            "issuer": tls.issuer,
            "expires": tls.expires and tls.expires.isoformat(),
            "problem": tls.problem,
        },
        "latency": {"reads": len(latencies), "min": low, "median": middle, "max": high},
        "users": found.users,
        "failed_reads": found.failed_reads,
        "clock_skew": found.skew,
        "time_zone": None
        if zone is None
        else {
            "utc_offset": zone.label,
            "name": zone.name,
            "votes": zone.votes,
            "of": zone.of,
            "sure": zone.sure,
        },
        "drift": found.drift,
        "dialect": None if found.suggestion is None else code_for(found.suggestion),
    }
