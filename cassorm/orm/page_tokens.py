"""Opaque page tokens for web APIs: signed, bound to their query, good for a while.

A token is base64url text of: format, expiry, key id, the server's paging state, and an HMAC over all of it, the
query's text and its parameters. It is signed, not encrypted: paging state holds the key of the last row.
"""

import base64
import hashlib
import hmac
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from cassorm.driver.session import Session
from cassorm.errors import ConfigurationError, QueryError

M = TypeVar("M")

_FORMAT = 1
_HEAD = struct.Struct(">BQB")
_MAC_BYTES = 16
_MOST_CHARACTERS = 8192
_SHORTEST_SECRET = 16

Bound = tuple[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Rows, and the token of the page that follows; None after the last one."""

    items: list[M]
    token: str | None


@dataclass(frozen=True, slots=True)
class PageSecrets:
    """The secrets that sign page tokens, by key id: `current` signs, all are accepted, so that one can be replaced.

    Raises:
        ConfigurationError: a secret is too short, or `current` is none of them.
    """

    secrets: Mapping[str, bytes] = field(repr=False)
    current: str
    lifetime: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if self.current not in self.secrets:
            raise ConfigurationError(
                f"{self.current!r} is no key", where="page secrets", remedy=f"Use one of {', '.join(self.secrets)}"
            )
        for name, secret in self.secrets.items():
            if len(secret) < _SHORTEST_SECRET or not 0 < len(name.encode()) < 256:
                raise ConfigurationError(
                    f"the secret of key {name!r} has {len(secret)} bytes",
                    where="page secrets",
                    remedy=f"Use at least {_SHORTEST_SECRET} random bytes, and a short name",
                )


def sealed_token(session: Session, state: bytes, bound: Bound) -> str:
    """The token of the page that `state` stands for.

    Raises:
        ConfigurationError: the session has no secret.
    """
    secrets = _secrets(session)
    key_id = secrets.current.encode()
    expires = int(time.time() + secrets.lifetime.total_seconds())
    body = _HEAD.pack(_FORMAT, expires, len(key_id)) + key_id + state
    return base64.urlsafe_b64encode(body + _mac(secrets.secrets[secrets.current], body, bound)).rstrip(b"=").decode()


def open_token(session: Session, token: str, bound: Bound) -> bytes:
    """The paging state in a token.

    Raises:
        QueryError: it is forged, has expired, or belongs to another query.
        ConfigurationError: the session has no secret.
    """
    secrets = _secrets(session)
    try:
        if len(token) > _MOST_CHARACTERS:
            raise ValueError("too long")
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        version, expires, length = _HEAD.unpack_from(body)
        key_id = body[_HEAD.size : _HEAD.size + length].decode()
        secret = secrets.secrets[key_id]
        if version != _FORMAT or not hmac.compare_digest(mac, _mac(secret, body, bound)):
            raise ValueError("another signature")
    except (ValueError, KeyError, struct.error, TypeError) as error:
        raise QueryError(
            "is no token of this query, or was signed with another secret",
            where="page token",
            remedy="Ask for the first page again; give the same query, and the same secret in every process",
        ) from error
    if expires < time.time():
        raise QueryError("has expired", where="page token", remedy="Ask for the first page again")
    return body[_HEAD.size + length :]


def _mac(secret: bytes, body: bytes, bound: Bound) -> bytes:
    text, params = bound
    signed = hmac.new(secret, digestmod=hashlib.sha256)
    # Each part with its length: no two of them can pass for another two.
    for part in (body, text.encode(), repr(list(params)).encode("utf-8", "surrogatepass")):
        signed.update(len(part).to_bytes(8, "big") + part)
    return signed.digest()[:_MAC_BYTES]


def _secrets(session: Session) -> PageSecrets:
    found = getattr(session, "page_secrets", None)
    if not isinstance(found, PageSecrets):
        raise ConfigurationError(
            "no secret to sign page tokens with",
            where="page()",
            remedy="Set CASSORM_PAGE_SECRET, or `db.page_secrets = PageSecrets({...}, current=...)`, in every process",
        )
    return found
