"""What every answer tells a browser: run and show nothing but what this program itself serves."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""Without exceptions: nothing inline, nothing from elsewhere."""

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
OURS = {name.encode(): value.encode() for name, value in HEADERS.items()}


class SafeHeaders:
    """The application, every answer of which carries HEADERS, also files that members brought."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = (one for one in message.get("headers", ()) if one[0].lower() not in OURS)
                message = {**message, "headers": [*others, *OURS.items()]}
            await send(message)

        await self._app(scope, receive, send_safely)
