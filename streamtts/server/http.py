"""The HTTP side of the port: health, metrics, voices, what this server can."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from streamtts.errors import Unauthorized
from streamtts.server.gateway import SERVER, Gateway, Phase
from streamtts.server.security import shown_keys

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ABOUT = """{server}: text arrives in pieces, sound leaves in pieces.

WebSocket  /v1/stream  (subprotocol streamtts.v1)
GET        /v1/voices  /v1/capabilities  /healthz  /readyz  /metrics
"""


async def about(request: Request) -> Response:
    """`/`: what answers here."""
    return PlainTextResponse(ABOUT.format(server=SERVER))


async def healthz(request: Request) -> Response:
    """`/healthz`: the process lives and its loop turns."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """`/readyz`: 200 once the voice has spoken its warm-up and until the server drains."""
    phase = _gateway(request).phase
    return PlainTextResponse(f"{phase.value}\n", 200 if phase is Phase.READY else 503)


async def metrics(request: Request) -> Response:
    """`/metrics`, for Prometheus."""
    refusal = _unauthorized(request)
    if refusal is not None:
        return refusal
    gateway = _gateway(request)
    of_all = gateway.all_metrics
    text = gateway.metrics.render() if of_all is None else await of_all()
    return Response(text, media_type=METRICS_TYPE)


async def voices(request: Request) -> Response:
    """`/v1/voices`: one object that native and ElevenLabs clients both understand."""
    refusal = _unauthorized(request)
    if refusal is not None:
        return refusal
    known = _gateway(request).voices
    listed = [
        {"voice_id": voice.id, "category": "premade", **msgspec.to_builtins(voice)}
        for voice in known
    ]
    default = known[0].id if known else None
    return _json({"voices": listed, "default": default, "has_more": False})


async def capabilities(request: Request) -> Response:
    """`/v1/capabilities`: what `ready` says, without a WebSocket."""
    refusal = _unauthorized(request)
    if refusal is not None:
        return refusal
    gateway = _gateway(request)
    return _json(
        {
            "server": SERVER,
            "limits": gateway.limits(),
            "audio": gateway.audio() if gateway.voices else None,
            "capabilities": gateway.capabilities(),
        }
    )


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _unauthorized(request: Request) -> Response | None:
    gateway = _gateway(request)
    query_key = request.query_params.get("key") if gateway.config.auth.query_key else None
    if gateway.keys.accept(shown_keys(request.headers, query_key=query_key)):
        return None
    body = {"error": {"code": Unauthorized.code, "message": "no key, or a wrong one"}}
    return _json(body, status=401, headers={"www-authenticate": "Bearer"})


def _json(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body), status, headers=headers, media_type="application/json"
    )
