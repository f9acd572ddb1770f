"""Signed addresses of an S3 server (AWS Signature Version 4, in the query string): what obstore does not sign, such as parts."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
"""The bytes are not part of the signature: the sender verifies their digest itself."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests for the objects of one bucket."""

    endpoint: str
    """Address of the server, without the bucket."""
    bucket: str
    region: str
    key_id: str
    secret: str

    def sign(
        self, method: str, key: str, now_s: float, valid_s: int, query: Mapping[str, str] | None = None
    ) -> str:
        """PURE: return an address with which anybody can send one kind of request for an object until `now_s` + `valid_s`."""
        base = urlsplit(self.endpoint)
        path = f"{base.path.rstrip('/')}/{quote(self.bucket)}/{quote(key, safe='/~')}"
        stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        values = {
            **(query or {}),
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{self.key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(valid_s),
            "X-Amz-SignedHeaders": "host",
        }
        asked = "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(values.items()))
        request = f"{method}\n{path}\n{asked}\nhost:{base.netloc}\n\nhost\n{UNSIGNED}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = hmac.new(
            self._key(stamp[:8]), f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode(), hashlib.sha256
        )
        return f"{base.scheme}://{base.netloc}{path}?{asked}&X-Amz-Signature={signature.hexdigest()}"

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def _encode(value: str) -> str:
    return quote(value, safe="-_.~")
