"""An aiohttp service that sends messages.

ALDEAMO_API_KEY=... python aiohttp_app.py
"""

from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from aldeamo_async import (
    AldeamoError,
    AsyncBotsClient,
    DeliveryUnknown,
    NotSent,
    RateLimited,
    UsageError,
)

CLIENT = web.AppKey("client", AsyncBotsClient)


async def bots_client(app: web.Application) -> AsyncIterator[None]:
    # One client for the whole application, never one for each request: connections, the rate limit
    # and the retry budget belong to it. aiohttp closes it after the last request has been answered.
    async with AsyncBotsClient.from_env(deadline=20) as client:
        app[CLIENT] = client
        yield


async def send(request: web.Request) -> web.Response:
    try:
        message = await request.json()
        client_id, text = message["client_id"], message["text"]
    except (KeyError, TypeError, ValueError):
        return answer(422, "rejected", "The body must be JSON with client_id and text.")
    receipt = await request.app[CLIENT].send(message.get("channel", "sms"), client_id, text)
    return web.json_response({"status": "sent", "message_id": receipt.message_id})


async def health(request: web.Request) -> web.Response:
    stats = request.app[CLIENT].stats()
    return web.json_response({"in_flight": stats.in_flight, "unknown": stats.unknown})


@web.middleware
async def honest_answers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Say to our own callers whether a message may have gone out."""
    try:
        return await handler(request)
    except DeliveryUnknown:
        # Not a 5xx: proxies and HTTP clients repeat those by themselves, and a repeat may be the
        # second message to the same person. "Taken; its end is not known" is the truth.
        return answer(202, "unknown", "It may have been sent. Do not send it again.")
    except UsageError as error:
        return answer(422, "rejected", str(error))
    except RateLimited as error:
        # 503, not 429: it is this service that has used up its rate, not the one who calls it.
        return answer(503, "rejected", "Busy; not sent.", retry_after=error.retry_after or 1)
    except NotSent:
        # Nothing left this machine, so whoever repeats it does no harm.
        return answer(503, "rejected", "Not sent; safe to try again.", retry_after=1)
    except AldeamoError:
        # The API said no (ApiError), or the key is wrong (AuthError): ours to mend.
        return answer(502, "rejected", "Refused by the API; not sent.")


def answer(status: int, word: str, detail: str, *, retry_after: float = 0) -> web.Response:
    headers = {"Retry-After": f"{retry_after:.0f}"} if retry_after else None
    return web.json_response({"status": word, "detail": detail}, status=status, headers=headers)


def make_app() -> web.Application:
    app = web.Application(middlewares=[honest_answers])
    app.cleanup_ctx.append(bots_client)
    app.router.add_post("/messages", send)
    app.router.add_get("/health", health)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1")
