"""A Django project in one file: an async view that sends messages.

ALDEAMO_API_KEY=... uvicorn django_app:application
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from aldeamo_async import (
    AldeamoError,
    AsyncBotsClient,
    DeliveryUnknown,
    NotSent,
    RateLimited,
    UsageError,
)

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("DJANGO_SECRET_KEY", "only-for-this-example"),
)


class Bots:
    """The one client of this process.

    One for the whole application, never one for each request: connections, the rate limit and the
    retry budget belong to it. It lives in one event loop, so the project must be served as ASGI;
    under WSGI, Django gives every async view a loop of its own.
    """

    client: AsyncBotsClient


@csrf_exempt  # an API for other programs; they authenticate in another way
@require_POST
async def send_message(request: HttpRequest) -> JsonResponse:
    try:
        message = json.loads(request.body)
        client_id, text = message["client_id"], message["text"]
    except (KeyError, TypeError, ValueError):
        return answer(422, "rejected", "The body must be JSON with client_id and text.")
    try:
        # Django cancels the view of a caller that hangs up. A send that is cut off on the wire is
        # one whose end nobody knows; behind the shield it comes to its end.
        receipt = await asyncio.shield(
            Bots.client.send(message.get("channel", "sms"), client_id, text)
        )
    except AldeamoError as error:
        return honest_answer(error)
    return JsonResponse({"status": "sent", "message_id": receipt.message_id})


def honest_answer(error: AldeamoError) -> JsonResponse:
    """Say to our own callers whether a message may have gone out."""
    match error:
        case DeliveryUnknown():
            # Not a 5xx: proxies and HTTP clients repeat those by themselves, and a repeat may be
            # the second message to the same person. "Taken; its end is not known" is the truth.
            return answer(202, "unknown", "It may have been sent. Do not send it again.")
        case UsageError():
            return answer(422, "rejected", str(error))
        case RateLimited(retry_after=wait):
            # 503, not 429: it is this service that has used up its rate, not its caller.
            return answer(503, "rejected", "Busy; not sent.", retry_after=wait or 1)
        case NotSent():
            # Nothing left this machine, so whoever repeats it does no harm.
            return answer(503, "rejected", "Not sent; safe to try again.", retry_after=1)
        case _:
            # The API said no (ApiError), or the key is wrong (AuthError): ours to mend.
            return answer(502, "rejected", "Refused by the API; not sent.")


def answer(status: int, word: str, detail: str, *, retry_after: float = 0) -> JsonResponse:
    headers = {"Retry-After": f"{retry_after:.0f}"} if retry_after else None
    return JsonResponse({"status": word, "detail": detail}, status=status, headers=headers)


urlpatterns = [path("messages", send_message)]
django = get_asgi_application()

Message = MutableMapping[str, Any]


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Open the client before the first request and close it after the last: ASGI's lifespan,
    which Django itself leaves to others."""
    if scope["type"] != "lifespan":
        await django(scope, receive, send)
        return
    await receive()  # lifespan.startup
    async with AsyncBotsClient.from_env(deadline=20) as Bots.client:
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
    await send({"type": "lifespan.shutdown.complete"})
