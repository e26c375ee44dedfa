"""Who may ask the server: the browser that was given its address, and no other page that this browser shows."""

import secrets
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = ("GET", "HEAD")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:;"
    " connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Of pages that commands wrote, or somebody else: they run apart from ours, and reach nothing.
FRAME_POLICY = (
    "sandbox allow-scripts allow-downloads allow-forms; default-src 'none'; img-src data:; media-src data:;"
    " style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
    "Cache-Control": "no-store",
}
UNKNOWN = (
    "This page is only for the browser that was given its address. Open the whole address, with its token, that"
    " vc-web printed when it started; every start has a new one.\n"
)


class Guard:
    """Answers what may not be asked, and lets the rest through to `app` with headers that keep the page to itself."""

    def __init__(self, app: ASGIApp, port: int, token: str):
        self.app, self.port, self.token = app, port, token
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.cookie = f"vc_web_{port}"  # browsers send cookies to all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        answer = self._answer(scope) if scope["type"] == "http" else PlainTextResponse("", 404)
        await (answer or self.app)(scope, receive, _with_headers(send))

    def _answer(self, scope: Scope) -> Response | None:
        """A refusal, or the way in; None for what may go on."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self.hosts:  # a name that somebody has let point to this machine
            return PlainTextResponse(f"Ask for http://127.0.0.1:{self.port}/\n", 421)
        entrance = scope["path"] == "/" and scope["method"] in SAFE
        site = headers.get("sec-fetch-site")
        if site not in (None, "same-origin", "none") and not entrance:
            return PlainTextResponse("Asked for by another page.\n", 403)
        if scope["method"] not in SAFE and headers.get("origin") != f"http://{host}":
            return PlainTextResponse("Asked for by another page.\n", 403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if entrance and given and self._is_token(given):
            response = RedirectResponse("/", 303)
            response.set_cookie(self.cookie, self.token, path="/", httponly=True, samesite="strict")
            return response
        if not self._is_token(_cookie(headers.get("cookie", ""), self.cookie)):
            return PlainTextResponse(UNKNOWN, 403)
        return None

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode("utf-8", "replace"), self.token.encode())


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
