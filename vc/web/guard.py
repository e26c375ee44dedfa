"""Access control: only the browser that opened the address with the token, and no other site's page in it."""

import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = ("GET", "HEAD")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:;"
    " connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# For reports and listening tests, which may come from other people: isolated from our page and from any network.
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
OTHER_PAGE = "Requests from other pages are refused.\n"
NO_TOKEN = (
    "This page is only for the browser that was given its address. Open the full address that vc-web printed when it"
    " started, with its token, which is new at every start.\n"
)


class Guard:
    """ASGI application that refuses requests that are not allowed, and passes the others on to `app`.

    A request must name this server as its host, which stops DNS rebinding; must come from this server's page, if the
    browser says where it comes from; and must carry the token, in the address of the page or later in a cookie.

    Parameters
    ----------
    app : ASGIApp
        The application to protect; HEADERS are added to its responses.
    port : int
        Port that the server listens on.
    token : str
        The secret.
    """

    def __init__(self, app: ASGIApp, port: int, token: str):
        self.app, self.port, self.token = app, port, token
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.cookie = f"vc_web_{port}"  # browsers send cookies to all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        response = self._response(scope) if scope["type"] == "http" else PlainTextResponse("", 404)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (response or self.app)(scope, receive, send_with_headers)

    def _response(self, scope: Scope) -> Response | None:
        """A refusal, or the redirection that sets the cookie; None for a request to pass on."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self.hosts:  # a name that somebody made point to this machine
            return PlainTextResponse(f"Open http://127.0.0.1:{self.port}/ instead.\n", 421)
        is_entrance = scope["path"] == "/" and scope["method"] in SAFE
        site = headers.get("sec-fetch-site")
        if site not in (None, "same-origin", "none") and not is_entrance:
            return PlainTextResponse(OTHER_PAGE, 403)
        if scope["method"] not in SAFE and headers.get("origin") != f"http://{host}":
            return PlainTextResponse(OTHER_PAGE, 403)
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if is_entrance and token and self._is_token(token):
            response = RedirectResponse("/", 303)
            response.set_cookie(self.cookie, self.token, path="/", httponly=True, samesite="strict")
            return response
        # SimpleCookie would drop all cookies after one that it cannot parse, which another server may have set
        cookies = (cookie.partition("=") for cookie in headers.get("cookie", "").split(";"))
        if any(name.strip() == self.cookie and self._is_token(value.strip()) for name, _, value in cookies):
            return None
        return PlainTextResponse(NO_TOKEN, 403)

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode("utf-8", "replace"), self.token.encode())
