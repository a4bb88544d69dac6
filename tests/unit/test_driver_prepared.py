import asyncio
from struct import error as struct_error
from struct import pack

import pytest

from cassorm.driver.prepared import UNSET, Key, Prepared, PreparedCache
from cassorm.errors import ClusterError, QueryError


def _int(value: int) -> bytes:
    return pack(">i", value)


def _prepared(text: str = "INSERT INTO t (a, b) VALUES (?, ?)") -> Prepared:
    return Prepared(
        text,
        conditional=False,
        reads=False,
        counts=False,
        columns=("a", "b"),
        types=("int", "int"),
        encoders=(_int, _int),
        unset="the driver's own",
        raw=(),
        handle=None,
    )


def test_values_become_bytes_null_and_unset() -> None:
    prepared = _prepared()
    assert prepared.encode([1, None]) == [b"\0\0\0\1", None]
    assert prepared.encode((UNSET, 2)) == ["the driver's own", b"\0\0\0\2"]


@pytest.mark.parametrize("params", [(), (1,), (1, 2, 3)])
def test_a_wrong_number_of_parameters_is_refused_with_the_names(params: tuple[int, ...]) -> None:
    with pytest.raises(QueryError, match=rf"takes 2 parameters \(a, b\), got {len(params)}"):
        _prepared().encode(params)


@pytest.mark.parametrize(
    "params",
    ["ab", b"ab", {"a": 1, "b": 2}, {1, 2}, (n for n in (1, 2))],
    ids=["str", "bytes", "dict", "set", "generator"],
)
def test_parameters_without_an_order_of_their_own_are_refused(params: object) -> None:
    with pytest.raises(QueryError, match="takes its parameters in a tuple or list"):
        _prepared().encode(params)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["x", 1.5, 2**31])
def test_a_value_that_does_not_fit_is_named_with_its_column(value: object) -> None:
    with pytest.raises(QueryError, match=r"parameter b of INSERT INTO t") as raised:
        _prepared().encode((1, value))
    assert repr(value) in str(raised.value)
    assert isinstance(raised.value.__cause__, struct_error)


class _Cluster:
    """Counts what it is asked to prepare; fails as long as it is told to."""

    def __init__(self) -> None:
        self.asked: list[Key] = []
        self.fails = False

    async def prepare(self, key: Key) -> Prepared:
        self.asked.append(key)
        await asyncio.sleep(0.01)
        if self.fails:
            raise ClusterError("no such table")
        return _prepared(key[0])


async def test_many_at_once_prepare_a_statement_once() -> None:
    cluster = _Cluster()
    cache = PreparedCache(cluster.prepare, most=10)
    found = await asyncio.gather(*(cache.get(("SELECT a", ())) for _ in range(100)))
    assert len(cluster.asked) == 1
    assert all(prepared is found[0] for prepared in found)
    assert await cache.get(("SELECT a", ())) is found[0]


async def test_the_same_text_with_other_raw_columns_is_another_statement() -> None:
    cluster = _Cluster()
    cache = PreparedCache(cluster.prepare, most=10)
    assert await cache.get(("SELECT a", ())) is not await cache.get(("SELECT a", ("a",)))


async def test_a_failure_reaches_all_who_wait_and_is_not_remembered() -> None:
    cluster = _Cluster()
    cluster.fails = True
    cache = PreparedCache(cluster.prepare, most=10)
    failed = await asyncio.gather(*(cache.get(("SELECT a", ())) for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in failed] == [ClusterError] * 5
    cluster.fails = False
    assert (await cache.get(("SELECT a", ()))).text == "SELECT a"
    assert len(cluster.asked) == 2


async def test_a_cancelled_caller_fails_nobody_else() -> None:
    cluster = _Cluster()
    cache = PreparedCache(cluster.prepare, most=10)
    first, second = (asyncio.create_task(cache.get(("SELECT a", ()))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).text == "SELECT a"
    assert first.cancelled()
    assert len(cluster.asked) == 1


async def test_a_failure_nobody_waits_for_any_more_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    cluster = _Cluster()
    cluster.fails = True
    cache = PreparedCache(cluster.prepare, most=10)
    only = asyncio.create_task(cache.get(("SELECT a", ())))
    await asyncio.sleep(0)
    only.cancel()
    await asyncio.sleep(0.03)
    assert cache._coming == {}
    assert caplog.records == []


async def test_the_cache_keeps_what_was_used_last() -> None:
    cluster = _Cluster()
    cache = PreparedCache(cluster.prepare, most=2)
    for text in ("a", "b", "a", "c", "a"):
        await cache.get((text, ()))
    assert [key[0] for key in cluster.asked] == ["a", "b", "c"]
    assert len(cache) == 2
