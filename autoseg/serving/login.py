"""The token for a client that asks for a name and a password: MONAI Label's module in 3D Slicer."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request

from autoseg.serving import schema
from autoseg.serving.access import same
from autoseg.serving.intake import Intake, check_type
from autoseg.serving.refusal import Refusal

FORM = "application/x-www-form-urlencoded"
MOST_BYTES, MOST_FIELDS = 4 << 10, 8


def paths(token: str | None, bodies: Intake) -> APIRouter:
    """Return the addresses; the password is the service's `token` (None: it has none)."""
    router = APIRouter()

    @router.get("/auth/")
    async def asked() -> dict[str, Any]:
        return {"enabled": token is not None}

    @router.post("/auth/token", openapi_extra=schema.LOGIN)
    async def login(request: Request) -> dict[str, Any]:
        check_type(request, FORM)
        body = await bodies.read(request, MOST_BYTES)
        try:
            said = parse_qs(body.decode("latin-1"), max_num_fields=MOST_FIELDS)
        except ValueError as error:
            raise Refusal(422, f"there are more than {MOST_FIELDS} fields") from error
        finally:
            bodies.release(body)
        if token is None or not same(said.get("password", [""])[0], token):
            raise Refusal(401, "the password is not the token of this service")
        return {"access_token": token, "token_type": "bearer"}

    @router.get("/auth/token/valid")
    async def valid() -> dict[str, Any]:
        return {}  # who has no token does not come this far

    return router
