"""aldeamo doctor: which way works, what is seen on it, and that it never sends."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from aldeamo_async._settings import Dialect
from aldeamo_async.cli._tls import look_at_tls
from aldeamo_async.cli._zone import Zone, estimate
from aldeamo_async.sandbox import Fault, Sandbox, Weather
from support.rawserver import Connection, RawServer, answer
from support.socket_faults import authority, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli.conftest import Cli

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NO_KEY = json.dumps({"status": False, "error": "Invalid API key"}).encode()
NO_METHOD = json.dumps({"status": False, "error": "Unknown method"}).encode()
HTML = b"<html><title>Welcome to nginx</title></html>"


def listing(*rows: dict[str, str]) -> bytes:
    return json.dumps({"status": True, "codigo": 0, "message": "", "data": rows}).encode()


@contextmanager
def answering(
    reply: Callable[[str], bytes], *, tls: bool = False
) -> Iterator[tuple[RawServer, list[str]]]:
    """A server that answers each request by its target; the targets are collected."""
    targets: list[str] = []

    def script(connection: Connection) -> None:
        while seen := connection.read_request():
            targets.append(f"{seen.method} {seen.target}")
            connection.send(reply(seen.target))

    with RawServer(script, tls=server_context() if tls else None) as server:
        yield server, targets


def ask(cli: Cli, server: RawServer, path: str, *arguments: str) -> Any:
    url = server.base_url.removesuffix("/bots") + path
    result = cli("doctor", "--json", "--base-url", url, *arguments)
    return result.exit_code, json.loads(result.stdout)


def test_a_healthy_sandbox(served: Callable[[Sandbox], Cli]) -> None:
    """With nothing odd the default dialect does, and the report holds nobody's data."""
    sandbox = Sandbox(seed=4)
    cli = served(sandbox)
    result = cli("doctor", "web", "--reads", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = {line[:11].strip(): line[12:] for line in result.stdout.splitlines()}
    assert lines["works"] == f"{cli.url} with the key in params"
    assert lines["TLS"] == "none"
    assert lines["latency"].startswith("3 reads of 25 users: min ")
    assert lines["clock"] == "not told: the answers carry no Date"
    assert lines["drift"] == "none"
    assert lines["use"] == f"Dialect(base_url={cli.url!r})"
    assert "5070000000" not in result.stdout
    assert "Ana" not in result.stdout
    assert sandbox.requests == {"users": 3, "messages": 10}


def test_inside_of_this_process(cli: Cli) -> None:
    """With --sandbox nothing outside is looked at, not even its TLS."""
    document = cli.json("doctor", "--sandbox")
    assert document["works"]
    assert document["tls"] is None
    assert document["dialect"] == "Dialect()"
    assert document["time_zone"] is None or not document["time_zone"]["sure"]


def test_a_key_in_the_header(served: Callable[[Sandbox], Cli]) -> None:
    """A server that wants the key in a header is found with the second read."""
    sandbox = Sandbox(auth_in="header", auth_name="X-Api-Key")
    cli = served(sandbox)
    document = cli.json("doctor", "--auth-name", "X-Api-Key")
    assert [(t["auth_in"], t["error"]) for t in document["tries"]] == [
        ("params", "AuthError (HTTP 403)"),
        ("header", None),
    ]
    assert document["dialect"] == (
        f"Dialect(base_url={cli.url!r}, auth_in='header', auth_name='X-Api-Key')"
    )
    assert eval(document["dialect"], {"Dialect": Dialect}).auth_in == "header"  # noqa: S307
    assert "POST" not in str(document)
    assert sandbox.requests["send"] == 0


def test_a_choice_that_a_read_cannot_judge_is_kept(served: Callable[[Sandbox], Cli]) -> None:
    """Where the key goes on a send is not seen on a read: `query` stays `query`."""
    document = served(Sandbox()).json("doctor", "--auth-in", "query", "--post-encoding", "json")
    assert "auth_in='query', post_encoding='json'" in document["dialect"]


def test_a_wrong_key(served: Callable[[Sandbox], Cli]) -> None:
    """Every place is tried once, on the one path that answers as the API, and the code is 5."""
    sandbox = Sandbox(api_key="another-key")
    cli = served(sandbox)
    result = cli("doctor")
    assert result.exit_code == 5
    assert result.stdout.count("AuthError (HTTP 403)") == 3
    assert "Error: GET /users was refused" in result.stderr
    assert sandbox.requests == {"users": 3}
    result = cli("doctor", "--json")
    assert json.loads(result.stdout)["works"] is False
    assert json.loads(result.stderr)["error"] == "AuthError"


def test_the_documented_paths_are_tried_on_the_same_host(cli: Cli) -> None:
    """A host whose path was left out, or mistyped, is asked under the two paths of the document."""

    def reply(target: str) -> bytes:
        if target.startswith("/api/admin/index.php/express/users?auth="):
            return answer(listing())
        return answer(HTML) if target.startswith("/bots") else answer(NO_METHOD, status="404 Not")

    with answering(reply) as (server, targets):
        code, document = ask(cli, server, "/tenant/")
    assert code == 0
    assert f"{server.port}/api/admin/index.php/express'" in document["dialect"]
    assert list(dict.fromkeys(target.partition("?")[0] for target in targets)) == [
        "GET /tenant/users",
        "GET /bots/users",
        "GET /api/admin/index.php/express/users",
    ]


def test_nothing_like_the_api(cli: Cli) -> None:
    """A web server that is something else ends with the code for answers outside the contract."""
    with answering(lambda _: answer(HTML)) as (server, targets):
        code, document = ask(cli, server, "/bots")
    assert code == 7
    assert len(document["tries"]) == 6
    assert {target.partition(" ")[0] for target in targets} == {"GET"}


def test_nothing_listens(cli: Cli) -> None:
    """Without a network one try is enough: another place for the key mends nothing."""
    result = cli("doctor", "--json", "--base-url", "http://127.0.0.1:9/bots", "--deadline", "0.5")
    assert result.exit_code == 6
    assert len(json.loads(result.stdout)["tries"]) == 1


@pytest.mark.parametrize("arguments", [("sms",), ("web", "--reads", "0")])
def test_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    """What cannot be read is refused before anything is asked."""
    assert cli("--sandbox", "doctor", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("hours", "name"), [(0, "UTC"), (-5, "America/Bogota"), (3, "Etc/GMT-3"), (-4, "Etc/GMT+4")]
)
def test_the_time_zone_of_the_server(
    served: Callable[[Sandbox], Cli], hours: float, name: str
) -> None:
    """From what clients wrote, and when they were last active, the zone is told and suggested."""
    sandbox = Sandbox(users_per_channel=0, time_zone=timezone(timedelta(hours=hours)))
    for number in range(6):
        sandbox.say("whatsapp", f"5730000000{number:02}", "Hola")
    cli = served(sandbox)
    # A zone set by hand is what is being checked, and does not colour the result.
    document = cli.json("doctor", "--server-tz", "Asia/Tokyo")
    assert document["time_zone"]["name"] == name
    assert (document["time_zone"]["votes"], document["time_zone"]["of"]) == (6, 6)
    assert f"server_tz={name!r}" in document["dialect"]
    assert "by 6 of 6 clients\n" in cli("doctor").stdout


def test_too_few_clients_to_be_sure(served: Callable[[Sandbox], Cli]) -> None:
    """Two clients make no vote: the estimate is shown, and not suggested."""
    sandbox = Sandbox(users_per_channel=0)
    sandbox.say("web", "507000000001", "Hola")
    sandbox.say("web", "507000000002", "Hola")
    result = served(sandbox)("doctor", "web")
    assert "UTC+00:00 at present, by 2 of 2 clients; too few to be sure" in result.stdout
    assert "server_tz" not in result.stdout


def test_reads_that_fail_later_and_drift(served: Callable[[Sandbox], Cli]) -> None:
    """Once a way works, a read that fails is counted; so is what the document does not say."""
    faults = [None, Fault.STATUS_FALSE, Fault.IDS_INT, Fault.STATUS_FALSE]
    sandbox = Sandbox(users_per_channel=0)
    sandbox.say("web", "507000000001", "Hola")
    sandbox.weather = Weather.sequence(faults)
    result = served(sandbox)("doctor", "web", "--reads", "3")
    assert result.exit_code == 0
    assert "; 2 more reads failed" in result.stdout
    assert "2 x GET /users: an id is a number" in result.stdout
    assert "time zone   not told" in result.stdout


@pytest.mark.parametrize(
    ("ahead", "words"), [(0, "agrees"), (90, "90 s ahead of"), (-90, "90 s behind")]
)
def test_the_clock_of_the_server(cli: Cli, ahead: int, words: str) -> None:
    """The `Date` of the answers is compared with this machine's clock."""

    def reply(_: str) -> bytes:
        now = datetime.now(UTC) + timedelta(seconds=ahead)
        return answer(listing(), f"date: {format_datetime(now, usegmt=True)}")

    with answering(reply) as (server, _):
        result = cli("doctor", "--base-url", server.base_url)
    assert words in result.stdout


def test_tls(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version, issuer and days left are shown for a certificate that is trusted."""
    with answering(lambda _: answer(listing()), tls=True) as (server, _):
        result = cli("doctor", "--base-url", server.base_url)
        assert result.exit_code == 6
        assert "the certificate is not trusted: " in result.stdout
        authority().cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        result = cli("doctor", "--base-url", server.base_url)
        _, document = ask(cli, server, "/bots")
    assert result.exit_code == 0
    assert "TLSv1.3, certificate by trustme" in result.stdout
    assert " days left" in result.stdout
    assert document["tls"]["expires"] > datetime.now(UTC).isoformat()


@pytest.mark.real_clock
async def test_no_handshake() -> None:
    """A server that does not speak TLS, or is not there, is said to be so."""
    with RawServer(lambda connection: connection.send(b"SSH-2.0\r\n")) as server:
        seen = await look_at_tls(f"https://127.0.0.1:{server.port}/bots")
    assert seen is not None
    assert seen.problem.startswith("no handshake")


def test_votes() -> None:
    """Clients vote for the nearest quarter of an hour; late signs of life vote for nothing."""

    def pair(offset: timedelta) -> tuple[datetime, datetime]:
        return (NOON + offset).replace(tzinfo=None), NOON

    kathmandu = timedelta(hours=5, minutes=45)
    late = timedelta(minutes=7)
    zone = estimate([pair(kathmandu), pair(kathmandu + timedelta(seconds=40)), pair(late)])
    assert zone == Zone(kathmandu, 2, 3)
    assert (zone.label, zone.name, zone.sure) == ("UTC+05:45", None, False)
    assert estimate([pair(late), pair(timedelta(hours=20))]) is None
    assert Zone(timedelta(hours=-3, minutes=-30), 3, 5).label == "UTC-03:30"
    assert not Zone(timedelta(0), 3, 6).sure


def test_a_sure_zone_without_a_name_is_shown_only(served: Callable[[Sandbox], Cli]) -> None:
    """An offset that no name has is left to a person."""
    sandbox = Sandbox(users_per_channel=0, time_zone=timezone(timedelta(hours=5, minutes=45)))
    for number in range(4):
        sandbox.say("whatsapp", f"5730000000{number:02}", "Hola")
    document = served(sandbox).json("doctor")
    assert document["time_zone"]["utc_offset"] == "UTC+05:45"
    assert "server_tz" not in document["dialect"]
