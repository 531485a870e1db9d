"""The group of all commands, and the help that they share.

Rule: a command is listed here and nowhere else; `docs/reference-cli.md` names each with its
options, and a test compares the two.
"""

from __future__ import annotations

import click

from ._campaign import campaign
from ._cluster import worker
from ._common import common_options
from ._demo import demo
from ._doctor import doctor
from ._exit import MEANINGS
from ._read import messages, users
from ._sandbox import sandbox
from ._send import send
from ._send_many import send_many

_CODES = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


@click.group(
    "aldeamo",
    epilog=f"\b\nExit codes:\n{_CODES}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="aldeamo-async", prog_name="aldeamo")
@common_options(hidden=False)
def aldeamo() -> None:
    """Send and read messages over the Aldeamo BOTS API.

    The options below may stand before or after the command. The key comes from ALDEAMO_API_KEY,
    from --key-file or from a prompt, never from the command line. Start with: aldeamo demo
    """


for command in (demo, sandbox, users, messages, send, send_many, campaign, doctor, worker):
    aldeamo.add_command(command)
