"""The gateway: one port in front of the stack's parts, with hosted Supabase's key handling.

It runs as a process of its own: `python -m local.gateway <stack> <listening socket>`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import jwt
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local import keys
from local.player import Player
from local.stack import Stack

# Headers that belong to one connection, not to the message.
HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
     "transfer-encoding", "upgrade", "host"]
)  # fmt: skip
# These are opened by browsers and links, which send no key.
KEYLESS = re.compile(
    r"/auth/v1/(verify|callback|authorize|sso/|\.well-known/)"
    r"|/storage/v1/(object|render/image)/(public|sign)/"
    r"|/storage/v1/object/upload/sign/"
)
SESSION_PATHS = re.compile(r"/auth/v1/(signup|token|verify|user|otp|recover)$")
SIGNING_PATHS = re.compile(r"/storage/v1/object/(upload/)?sign/")
LITE_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)\+00$")
Answer = TypeVar("Answer", bound=web.StreamResponse)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@dataclass(frozen=True)
class Settings:
    """What the gateway needs to know of its stack."""

    base: str
    rest: str
    auth: str
    functions: str
    realtime: str
    issuer: str
    publishable_key: str
    secret_key: str
    anon_token: str
    service_token: str
    jwt_secret: str
    jwks: Mapping[str, Any]

    @classmethod
    def of(cls, stack: Stack) -> Settings:
        """Read the settings of a stack that has its state on disk."""
        return cls(
            base=stack.url("gateway"),
            rest=stack.url("postgrest"),
            auth=stack.url("auth"),
            functions=stack.url("functions"),
            realtime=stack.url("realtime"),
            issuer=stack.issuer,
            publishable_key=stack.secrets.publishable,
            secret_key=stack.secrets.secret,
            anon_token=stack.anon_token,
            service_token=stack.service_token,
            jwt_secret=stack.secrets.jwt,
            jwks={"keys": [keys.public_jwk(stack.secrets.signing_key)]},
        )


class Refusal(Exception):
    """A request that goes no further; carries the answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Gateway:
    """Routes by prefix, settles the keys, and passes messages on in both directions."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._sockets: set[web.WebSocketResponse] = set()
        self._player = Player(
            {
                "supabaseUrl": settings.base,
                "functionsUrl": f"{settings.base}/functions/v1",
                "publishableKey": settings.publishable_key,
                "realtime": True,
                # Where the films lie that the demo course names.
                "media": {"https://example.com/waymark-demo/": "demo/"},
            }
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.rel_url.raw_path
        if path.startswith("/functions/v1/"):
            return await self._forward(request, self._settings.functions, path, request.headers)
        try:
            return await self._handle_supabase(request, path)
        except Refusal as refusal:
            return _with_cors(refusal.answer)

    async def _handle_supabase(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        settings = self._settings
        if path == "/realtime/v1/websocket":
            return await self._forward_socket(request)
        is_rest = path == "/rest/v1" or path.startswith("/rest/v1/")
        if not is_rest and not path.startswith(("/auth/v1/", "/storage/v1/")):
            file = self._player.answer(path) if request.method in ("GET", "HEAD") else None
            if file:
                return file
            return _error(404, "route_not_found", f"no part of the stack serves {path}")
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request)
        if path == "/auth/v1/.well-known/jwks.json":
            answer = web.json_response(settings.jwks)
            answer.headers["Cache-Control"] = "public, max-age=600"
            return _with_cors(answer)
        if is_rest:
            headers = self._settle_keys(request, is_lite=False)
            return await self._forward(request, settings.rest, path[8:] or "/", headers, cors=True)
        if KEYLESS.match(path) and not _api_key(request):
            headers = CIMultiDict(request.headers)
        else:
            headers = self._settle_keys(request, is_lite=True)
        if SESSION_PATHS.match(path) or (request.method == "POST" and SIGNING_PATHS.match(path)):
            return await self._adapt(request, path, headers)
        return await self._forward(request, settings.auth, path, headers, cors=True)

    def _settle_keys(self, request: web.BaseRequest, is_lite: bool) -> CIMultiDict[str]:
        """Return the headers with the caller's key turned into what the part understands.

        Raises Refusal for a missing or unknown key, and for a secret key from a browser.
        """
        settings = self._settings
        key = _api_key(request)
        if not key:
            raise Refusal(
                web.json_response(
                    {
                        "message": "No API key found in request",
                        "hint": "No `apikey` request header or url param was found.",
                    },
                    status=401,
                )
            )
        if key in (settings.publishable_key, settings.anon_token):
            token, lite_key = settings.anon_token, settings.publishable_key
        elif key in (settings.secret_key, settings.service_token):
            token, lite_key = settings.service_token, settings.secret_key
        else:
            raise Refusal(
                web.json_response(
                    {
                        "message": "Invalid API key",
                        "hint": "Double check your Supabase `anon` or `service_role` API key.",
                    },
                    status=401,
                )
            )
        agent = request.headers.get("User-Agent", "")
        if key == settings.secret_key and agent.startswith("Mozilla/"):
            raise Refusal(
                web.json_response(
                    {
                        "message": "Forbidden use of secret API key in browser",
                        "hint": "Secret API keys can only be used in a protected environment and "
                        "should never be exposed in the browser.",
                    },
                    status=401,
                )
            )
        headers = CIMultiDict(request.headers)
        bearer = request.headers.get("Authorization", "")
        # A Bearer that repeats the key says "signed out"; any other is a user, or a mistake that
        # the part behind refuses.
        if not bearer or bearer == f"Bearer {key}":
            headers["Authorization"] = f"Bearer {token}"
        if is_lite:
            headers["apikey"] = lite_key
        return headers

    async def _forward(
        self,
        request: web.BaseRequest,
        base: str,
        path: str,
        headers: Mapping[str, str],
        cors: bool = False,
    ) -> web.StreamResponse:
        """Pass a request on and its answer back, neither held in memory."""
        try:
            upstream = await self._send(request, base, path, headers)
        except (aiohttp.ClientConnectionError, TimeoutError):
            return _unavailable(cors)
        async with upstream:
            answer = web.StreamResponse(status=upstream.status, reason=upstream.reason)
            for name, value in upstream.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    answer.headers.add(name, value)
            if upstream.status == 503 and cors:
                answer.headers.setdefault("Retry-After", "1")
            if cors:
                _with_cors(answer)
            await answer.prepare(request)
            # Should the part die in mid-answer, the exception breaks the connection off: the
            # caller must not take half an answer for a whole one.
            async for chunk in upstream.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer

    async def _forward_socket(self, request: web.BaseRequest) -> web.StreamResponse:
        """Join a client's websocket and Realtime's, with the key settled as for the other parts."""
        token = self._settle_keys(request, is_lite=False)["Authorization"].removeprefix("Bearer ")
        answer = web.WebSocketResponse(autoping=False)
        if not answer.can_prepare(request):
            return _error(426, "upgrade_required", "This address speaks websocket only")
        url = URL(f"{self._settings.realtime}/websocket").with_query(
            {"vsn": request.query.get("vsn", "1.0.0")}
        )
        try:
            upstream = await self._session.ws_connect(
                url, headers={"X-Api-Key": token}, autoping=False, max_msg_size=0
            )
        except aiohttp.WSServerHandshakeError as problem:
            return _error(problem.status, "unauthorized", "Realtime refuses this key")
        except (aiohttp.ClientConnectionError, TimeoutError):
            return _unavailable(cors=True)
        await answer.prepare(request)
        self._sockets.add(answer)
        try:
            pumps = [
                asyncio.create_task(_pump(answer, upstream)),
                asyncio.create_task(_pump(upstream, answer)),
            ]
            _, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._sockets.discard(answer)
            await upstream.close(code=answer.close_code or 1000)
            await answer.close(code=upstream.close_code or 1000)
        return answer

    async def close(self) -> None:
        """End the websockets, which would not end by themselves."""
        for answer in list(self._sockets):
            await answer.close(code=1001)

    async def _send(
        self, request: web.BaseRequest, base: str, path: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        passed = CIMultiDict(
            (name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP
        )
        passed["X-Forwarded-For"] = ", ".join(
            [*passed.popall("X-Forwarded-For", []), request.remote or "unknown"]
        )
        passed["X-Forwarded-Host"] = request.host
        passed["X-Forwarded-Proto"] = "http"
        # The key has been settled; PostgREST would take it for a filter.
        query = "&".join(
            pair
            for pair in request.rel_url.raw_query_string.split("&")
            if not (base == self._settings.rest and pair.startswith("apikey="))
        )
        url = URL(f"{base}{path}{'?' + query if query else ''}", encoded=True)
        return await self._session.request(
            request.method,
            url,
            headers=passed,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        )

    async def _adapt(
        self, request: web.BaseRequest, path: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Pass a small JSON answer of Auth or Storage back in hosted's form."""
        try:
            passed = CIMultiDict(headers)
            passed["Accept-Encoding"] = "identity"
            async with await self._send(request, self._settings.auth, path, passed) as upstream:
                body = await upstream.read()
        except (aiohttp.ClientError, TimeoutError):
            return _unavailable(cors=True)
        if upstream.content_type == "application/json":
            with contextlib.suppress(ValueError):
                body = json.dumps(self._as_hosted(json.loads(body))).encode()
        answer = web.Response(status=upstream.status, body=body)
        for name, value in upstream.headers.items():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                answer.headers[name] = value
        return _with_cors(answer)

    def _as_hosted(self, value: Any) -> Any:
        """Return the value with RFC 3339 times, hosted's names, and tokens with hosted's claims."""
        if isinstance(value, list):
            return [self._as_hosted(item) for item in value]
        if isinstance(value, str):
            match = LITE_TIME.match(value)
            return f"{match[1]}T{match[2]}Z" if match else value
        if not isinstance(value, dict):
            return value
        result = {name: self._as_hosted(item) for name, item in value.items()}
        if isinstance(result.get("signedUrl"), str):
            # Clients put the address of the Storage API in front.
            name = "url" if "/upload/sign/" in result["signedUrl"] else "signedURL"
            result[name] = result["signedUrl"].removeprefix("/storage/v1")
        if isinstance(result.get("access_token"), str) and isinstance(result.get("user"), dict):
            result["access_token"] = self._token_as_hosted(result["access_token"], result["user"])
        return result

    def _token_as_hosted(self, token: str, user: Mapping[str, Any]) -> str:
        """Return a session's token with the claims that hosted puts in and our Auth leaves out."""
        secret = self._settings.jwt_secret
        claims = jwt.decode(token, secret, algorithms=["HS256"], options={"verify_aud": False})
        return jwt.encode(
            {
                "iss": self._settings.issuer,
                "phone": user.get("phone") or "",
                "app_metadata": user.get("app_metadata") or {},
                "user_metadata": user.get("user_metadata") or {},
                "aal": "aal1",
                "amr": [{"method": "password", "timestamp": claims["iat"]}],
                "is_anonymous": bool(user.get("is_anonymous")),
                **claims,
            },
            secret,
            algorithm="HS256",
        )


Websocket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: Websocket, target: Websocket) -> None:
    """Pass frames on until one side ends."""
    async for frame in source:
        if frame.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(frame.data)
        elif frame.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(frame.data)
        elif frame.type is aiohttp.WSMsgType.PING:
            await target.ping(frame.data)
        elif frame.type is aiohttp.WSMsgType.PONG:
            await target.pong(frame.data)


def _api_key(request: web.BaseRequest) -> str:
    return request.headers.get("apikey") or request.query.get("apikey", "")


def _error(status: int, code: str, message: str) -> web.Response:
    body = {"code": code, "message": message, "details": None, "hint": None}
    return _with_cors(web.json_response(body, status=status))


def _unavailable(cors: bool) -> web.Response:
    answer = _error(503, "service_unavailable", "This part of the stack is not there right now")
    answer.headers["Retry-After"] = "1"
    if not cors:
        answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
    return answer


def _preflight(request: web.BaseRequest) -> web.Response:
    answer = web.Response(status=200)
    answer.headers["Access-Control-Allow-Methods"] = METHODS
    answer.headers["Access-Control-Allow-Headers"] = request.headers.get(
        "Access-Control-Request-Headers", "authorization, x-client-info, apikey, content-type"
    )
    answer.headers["Access-Control-Max-Age"] = "3600"
    return _with_cors(answer)


def _with_cors(answer: Answer) -> Answer:
    answer.headers["Access-Control-Allow-Origin"] = "*"
    # Browsers refuse the star together with credentials.
    answer.headers.popall("Access-Control-Allow-Credentials", None)
    return answer


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    connector = aiohttp.TCPConnector(
        limit=0,
        # Much shorter than any server behind keeps an idle connection, or a request could be
        # written to one that is just being closed.
        keepalive_timeout=1,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        auto_decompress=False,
        skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        # Bodies pass as they are, packed or not.
        gateway = Gateway(settings, session)
        server = web.Server(gateway.handle, auto_decompress=False)
        runner = web.ServerRunner(server)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await stop.wait()
        await gateway.close()
        await runner.cleanup()


def main() -> None:
    """Serve the stack named by the first argument on the socket given by the second."""
    stack = Stack(sys.argv[1])
    stack.load()
    uvloop.run(serve(Settings.of(stack), socket.socket(fileno=int(sys.argv[2]))))


if __name__ == "__main__":
    main()
