"""The options that every command shares, before or after its name.

Rule 1: the key is never an option's value, for a command line can be read by every user of the
machine and stays in the shell's history.
Rule 2: an option given after the command wins over the same option before it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import anyio
import click
from attrs import frozen
from click.core import ParameterSource

from .._client import KEY_VARIABLE, URL_VARIABLE, AsyncBotsClient
from .._errors import UsageError
from .._files import FileFault
from .._settings import AuthPlacement, Dialect, PostEncoding, Secret
from ..sandbox import Sandbox, SandboxTransport
from ..transports import HttptoolsTransport, LaneTransport, PyreqwestTransport, as_transport

if TYPE_CHECKING:
    from ..limits import RateLimiter
    from ..transports import Transport

T = TypeVar("T")
CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_META: Final = "aldeamo_async.cli"
SANDBOX_KEY: Final = "test-key"
_CARRIERS: Final[dict[str, Callable[..., Transport]]] = {
    "default": LaneTransport,
    "fast": HttptoolsTransport,
    "pyreqwest": PyreqwestTransport,
}


@frozen
class Common:
    """What the shared options say; ``None`` leaves a setting to the environment or the client."""

    json: bool = False
    base_url: str | None = None
    key_file: Path | None = None
    deadline: float = 60.0
    timeout: float | None = None
    auth_in: AuthPlacement = "params"
    auth_name: str = "auth"
    post_encoding: PostEncoding = "form"
    server_tz: str | None = None
    sandbox: bool = False
    transport: str = "default"
    verbose: bool = False
    backend: str = "asyncio"

    @property
    def dialect(self) -> Dialect:
        """The dialect that the options describe; the base URL is given to the client apart."""
        return Dialect(
            auth_in=self.auth_in,
            auth_name=self.auth_name,
            post_encoding=self.post_encoding,
            server_tz=self.server_tz,
        )

    @property
    def resolved_base_url(self) -> str | None:
        """The base URL of the options or the environment; ``None`` for Aldeamo's own."""
        return None if self.sandbox else self.base_url or os.environ.get(URL_VARIABLE) or None

    def client(
        self,
        *,
        limiter: RateLimiter | None = None,
        max_connections: int | None = None,
        wrap: Callable[[Transport], Transport] | None = None,
    ) -> AsyncBotsClient:
        """Make a client; it opens on its first call. ``wrap`` puts a transport around its own."""
        settings: dict[str, Any] = {
            "dialect": self.dialect,
            "deadline": self.deadline,
            "timeout": self.timeout,
            "limiter": limiter,
        }
        if self.sandbox:
            if self.base_url or self.key_file or self.transport != "default":
                raise UsageError(
                    "--sandbox needs neither --base-url, --key-file nor --transport; "
                    "leave them out."
                )
            # Nobody asks it what it delivered, and a file may have millions of rows.
            double = Sandbox(
                api_key=SANDBOX_KEY,
                auth_name=self.auth_name,
                keep_deliveries=False,
                detect_duplicates=False,
            )
            return AsyncBotsClient(
                SANDBOX_KEY, transport=_wrapped(SandboxTransport(double), wrap), **settings
            )
        size = {} if max_connections is None else {"max_connections": max_connections}
        inner = _CARRIERS[self.transport](**size)
        return AsyncBotsClient(
            self.key(),
            base_url=self.resolved_base_url,
            transport=_wrapped(inner, wrap),
            **settings,
        )

    def key(self) -> Secret:
        """Find the API key: in the file, in the environment, or by asking at a terminal."""
        if self.key_file is not None:
            return _key_in(self.key_file)
        value = os.environ.get(KEY_VARIABLE)
        if value:
            return Secret(value)
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                f"No API key: set {KEY_VARIABLE}, or name a file that holds the key with "
                f"--key-file. "
                "To try things out without a key, add --sandbox."
            )
        return Secret(click.prompt("API key", hide_input=True, err=True))

    def run(self, work: Callable[[], Any]) -> Any:
        """Run an async function to its end."""
        with _logging(self.verbose):
            return anyio.run(work, backend=self.backend)


def _wrapped(inner: object, wrap: Callable[[Transport], Transport] | None) -> Transport:
    transport = as_transport(inner)
    return transport if wrap is None else wrap(transport)


def _key_in(path: Path) -> Secret:
    try:
        return Secret(path.read_text("utf-8-sig").strip())
    except OSError as error:
        raise FileFault(f"the key file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise FileFault(f"the key file {path} is not a text file.") from None


@contextmanager
def _logging(verbose: bool) -> Generator[None, None, None]:
    """Show what the library logs, on stderr; keys, numbers and texts are masked there."""
    if not verbose:
        yield
        return
    logger = logging.getLogger("aldeamo_async")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def common() -> Common:
    """Return what the shared options of the present command say."""
    return Common(**click.get_current_context().meta.get(_META, {}))


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = str(parameter.name)
    if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
        context.meta.setdefault(_META, {})[name] = value


_SECONDS: Final = click.FloatRange(min=0, min_open=True)
_OPTIONS: Final[tuple[tuple[tuple[str, ...], dict[str, Any]], ...]] = (
    (
        ("--json",),
        {"is_flag": True, "help": "Machine output: one JSON document, or JSON lines for lists."},
    ),
    (
        ("--base-url",),
        {
            "metavar": "URL",
            "help": f"Where the API is. Default: {URL_VARIABLE}, else Aldeamo's own.",
        },
    ),
    (
        ("--key-file",),
        {
            "type": click.Path(dir_okay=False, path_type=Path),
            "help": f"A file that holds the API key. Default: {KEY_VARIABLE}, else a prompt.",
        },
    ),
    (
        ("--deadline",),
        {"type": _SECONDS, "help": "Seconds for each call with all its attempts. Default: 60."},
    ),
    (
        ("--timeout",),
        {"type": _SECONDS, "help": "Seconds for each phase of one attempt (connect, write, read)."},
    ),
    (
        ("--auth-in",),
        {
            "type": click.Choice(get_args(AuthPlacement)),
            "help": "Where the key is placed. Default: params.",
        },
    ),
    (
        ("--auth-name",),
        {"metavar": "NAME", "help": "The name under which the key is placed. Default: auth."},
    ),
    (
        ("--post-encoding",),
        {
            "type": click.Choice(get_args(PostEncoding)),
            "help": "How sends are written out. Default: form.",
        },
    ),
    (
        ("--server-tz",),
        {"metavar": "ZONE", "help": "Time zone of the API's dates, such as America/Bogota."},
    ),
    (
        ("--sandbox",),
        {"is_flag": True, "help": "Talk to a sandbox inside this process: no key, no network."},
    ),
    (
        ("--transport",),
        {
            "type": click.Choice(list(_CARRIERS)),
            "help": "What carries the requests: httpx, httptools for speed, or pyreqwest. "
            "Default: default.",
        },
    ),
    (("-v", "--verbose"), {"is_flag": True, "help": "Log to stderr what the library does."}),
    (("--backend",), {"type": click.Choice(["asyncio", "trio"]), "hidden": True}),
)


def common_options(*, hidden: bool) -> Callable[[CommandT], CommandT]:
    """Add the shared options; commands hide them, for the group's help lists them once."""

    def add(command: CommandT) -> CommandT:
        for names, always in reversed(_OPTIONS):
            settings: dict[str, Any] = {**always, "hidden": hidden or "hidden" in always}
            settings |= {"expose_value": False, "callback": _keep}
            command = click.option(*names, **settings)(command)
        return command

    return add
