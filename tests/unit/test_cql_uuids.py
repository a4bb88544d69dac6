"""UUIDs made without their constructor."""

import copy
import pickle
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cassorm.cql.uuids import _plain_makers, uuid_of_digest, uuid_of_int, uuids_of

NUMBERS = st.integers(0, 2**128 - 1)


@pytest.mark.parametrize("make", [uuid_of_int, _plain_makers()[0]], ids=["slots", "constructor"])
@given(number=NUMBERS)
def test_it_is_the_uuid_that_the_constructor_makes(make: Callable[[int], UUID], number: int) -> None:
    made, plain = make(number), UUID(int=number)
    assert type(made) is UUID
    assert made == plain
    assert hash(made) == hash(plain)
    assert (str(made), repr(made), made.is_safe, made.version) == (
        str(plain),
        repr(plain),
        plain.is_safe,
        plain.version,
    )
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == plain


@pytest.mark.parametrize("make", [uuids_of, _plain_makers()[1]], ids=["slots", "constructor"])
@given(data=st.lists(st.binary(min_size=16, max_size=16), max_size=5))
def test_many_at_once_are_those_of_the_constructor(
    make: Callable[[Sequence[bytes]], list[UUID]], data: list[bytes]
) -> None:
    made, plain = make(data), [UUID(bytes=each) for each in data]
    assert made == plain
    assert [(hash(each), repr(each), each.is_safe) for each in made] == [
        (hash(each), repr(each), each.is_safe) for each in plain
    ]


@given(data=st.binary(min_size=16, max_size=16), version=st.integers(1, 5))
def test_a_digest_gets_version_and_variant(data: bytes, version: int) -> None:
    assert uuid_of_digest(data, version) == UUID(bytes=data, version=version)
