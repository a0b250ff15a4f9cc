"""Limits of a server, under the names that text-embeddings-inference has for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tokensieve.checks import BOOLEAN, Check, check_values, number, whole
from tokensieve.runtime.budget import BATCH_TOKENS

_COUNT = whole(1)
_SECONDS = number(lambda value: 0 < value <= 86400, "a number of seconds in (0, 86400]")
_NAME = Check(
    lambda value: isinstance(value, str) and value != "" and value.isprintable() and "/" not in value,
    "give printable text without /",
)
_KEY = Check(
    lambda value: isinstance(value, str) and value.isascii() and value.strip() == value != "",
    "give ASCII text, without spaces around it",
)
_FIELDS: dict[str, Check] = {
    "name": _NAME,
    "max_batch_tokens": _COUNT,
    "max_client_batch_size": _COUNT,
    "max_concurrent_requests": _COUNT,
    "payload_limit": _COUNT,
    "auto_truncate": BOOLEAN,
    "body_seconds": _SECONDS,
    "max_speed": number(lambda value: value > 0, "a number above 0").or_none(),
    "api_key": _KEY.or_none(),
}


@dataclass(frozen=True)
class ServeSettings:
    """What a server allows.

    Attributes:
        name: of the model, as clients name it.
        max_batch_tokens: most tokens that the model reads together; a longer document is read alone. On CPU more than
            4,096 win nothing, and later requests wait longer.
        max_client_batch_size: most texts of a request.
        max_concurrent_requests: most texts that are accepted and not answered yet; each text of a request counts.
        payload_limit: most bytes of a request's body.
        auto_truncate: whether a text that is too long is truncated where the request does not say.
        body_seconds: within which a request's body has to arrive.
        max_speed: the highest speed that a request may ask for, as a multiple of the dense encoder's; None: what the
            classifier's frontier has.
        api_key: which requests have to send, as "Authorization: Bearer KEY"; None: there is none.

    Raises:
        ConfigError: a value out of range.
    """

    name: str
    max_batch_tokens: int = BATCH_TOKENS
    max_client_batch_size: int = 32
    max_concurrent_requests: int = 512
    payload_limit: int = 2_000_000
    auto_truncate: bool = True
    body_seconds: float = 30.0
    max_speed: float | None = None
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_values(vars(self), _FIELDS)
