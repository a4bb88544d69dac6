"""Page tokens: good for their query and their time, in every process that has the secret, and for nothing else."""

import base64
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cassorm.errors import ConfigurationError, QueryError
from cassorm.orm.database import _secrets_of_environment
from cassorm.orm.page_tokens import PageSecrets, open_token, sealed_token

BOUND = ("SELECT a FROM t WHERE id = ?", [1])
OLD, NEW = b"o" * 20, b"n" * 20


def session(secrets: Mapping[str, bytes] | None = None, current: str = "new", hours: int = 1) -> Any:
    made = secrets or {"new": NEW, "old": OLD}
    return SimpleNamespace(page_secrets=PageSecrets(made, current, timedelta(hours=hours)))


@given(st.binary(max_size=200))
def test_a_token_gives_back_the_state_it_was_made_of(state: bytes) -> None:
    assert open_token(session(), sealed_token(session(), state, BOUND), BOUND) == state


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_token_changed_anywhere_is_refused(at: int, by: int) -> None:
    token = sealed_token(session(), b"state", BOUND)
    data = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    data[at % len(data)] ^= by
    with pytest.raises(QueryError, match="no token of this query"):
        open_token(session(), base64.urlsafe_b64encode(bytes(data)).decode().rstrip("="), BOUND)


@given(st.text(max_size=100))
def test_any_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="no token of this query"):
        open_token(session(), text, BOUND)


@pytest.mark.parametrize("other", [(BOUND[0], [2]), (BOUND[0], ["1"]), (BOUND[0] + " ", [1]), (BOUND[0], [])])
def test_a_token_of_another_query_is_refused(other: Any) -> None:
    with pytest.raises(QueryError, match="this query"):
        open_token(session(), sealed_token(session(), b"x", BOUND), other)


def test_a_token_expires() -> None:
    with pytest.raises(QueryError, match="expired"):
        open_token(session(), sealed_token(session(hours=-1), b"x", BOUND), BOUND)


def test_a_secret_can_be_replaced_while_tokens_of_the_old_one_are_good() -> None:
    token = sealed_token(session(current="old"), b"x", BOUND)
    assert open_token(session(), token, BOUND) == b"x"
    with pytest.raises(QueryError):
        open_token(session({"new": NEW}), token, BOUND)
    with pytest.raises(QueryError):
        open_token(session({"new": NEW, "old": NEW}), token, BOUND)


def test_without_a_secret_and_with_a_weak_one_the_error_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="CASSORM_PAGE_SECRET"):
        sealed_token(SimpleNamespace(page_secrets=None), b"", BOUND)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="16 random bytes"):
        PageSecrets({"a": b"short"}, "a")
    with pytest.raises(ConfigurationError, match="no key"):
        PageSecrets({"a": NEW}, "b")


def test_the_environment_sets_a_secret_that_is_not_shown() -> None:
    assert _secrets_of_environment({}) is None
    secrets = _secrets_of_environment({"CASSORM_PAGE_SECRET": "correct horse battery"})
    assert secrets is not None
    assert "horse" not in repr(secrets)
    assert list(secrets.secrets) == [secrets.current]
