"""Files in Supabase Storage, as the caller: its policies decide who may read which."""

from __future__ import annotations

import aiohttp
from pydantic_core import from_json

from shared import logs, pool
from shared.errors import Problem
from shared.settings import Settings


async def signed_url(config: Settings, bucket: str, path: str, *, token: str, seconds: int) -> str:
    """An address that opens one file for so long, without a token.

    Raises FileNotFoundError, also when the caller may not read it, or Problem storage_unavailable.
    """
    base = f"{config.supabase_url}/storage/v1"
    headers = {"apikey": config.public_keys[0], "Authorization": f"Bearer {token}"}
    try:
        async with pool.session().post(
            f"{base}/object/sign/{bucket}/{path}",
            json={"expiresIn": seconds},
            headers=headers,
            allow_redirects=False,
        ) as response:
            answer = from_json(await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        logs.write("ERROR", f"storage call failed: {type(error).__name__}")
        raise Problem("storage_unavailable") from None
    if not isinstance(answer, dict):
        answer = {}
    # Some say signedURL and leave their own prefix out, some signedUrl.
    signed = answer.get("signedURL") or answer.get("signedUrl")
    if response.status == 200 and isinstance(signed, str):
        return base + signed.removeprefix("/storage/v1")
    # Storage says 400 for what it does not find, with the number that it means in the body.
    if response.status == 404 or str(answer.get("statusCode")) == "404":
        raise FileNotFoundError(path)
    logs.write("ERROR", f"storage answered {response.status}")
    raise Problem("storage_unavailable")
