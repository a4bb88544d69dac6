"""The shop over the store in memory: what the report says, whatever was interrupted, repeated or cut in pieces."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cassorm import Appended, Event, Expect, MemoryEventStore, Recorded
from cassorm.events.intent import Expected
from cassorm.events.store import Stream
from examples.ecommerce import names
from examples.ecommerce.replay import replay
from examples.ecommerce.report import Report, make_report
from examples.ecommerce.rows import check
from examples.ecommerce.shop import Shop
from tests.flows.sales import SMALL, Sale, december, expected, sale, write


class Stopped(Exception):  # noqa: N818 - no error: the process is gone
    """The process ended here."""


class Fragile(MemoryEventStore):
    """Gives every other task its turn at each call; ends the process at the append number `breaks_at`.

    With `lands` that append was written, and the process did not learn of it.
    """

    def __init__(self, breaks_at: int = 0, *, lands: bool = False) -> None:
        super().__init__()
        self.breaks_at = breaks_at
        self.lands = lands
        self.appends = 0

    async def append(
        self,
        stream: Stream,
        events: Sequence[Event],
        *,
        expected: Expected = Expect.ANY,
        aggregate_type: str | None = None,
        append_id: UUID | None = None,
    ) -> Appended:
        await asyncio.sleep(0)
        self.appends += 1
        if self.appends == self.breaks_at and not self.lands:
            raise Stopped
        appended = await super().append(
            stream, events, expected=expected, aggregate_type=aggregate_type, append_id=append_id
        )
        if self.appends == self.breaks_at:
            raise Stopped
        return appended

    async def pages(
        self,
        stream: Stream,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backwards: bool = False,
        page_size: int = 1_000,
    ) -> AsyncGenerator[list[Recorded]]:
        await asyncio.sleep(0)
        async for page in super().pages(
            stream, from_version=from_version, to_version=to_version, backwards=backwards, page_size=page_size
        ):
            yield page


async def replayed(store: MemoryEventStore, *paths: Path, chunk: int = 7, hot: int = 5) -> list[bool]:
    """Replay files one after the other, each as a process of its own would."""
    changed = []
    for path in paths:
        async with Shop(store, hot=hot) as shop:
            changed.append(await replay(shop, check(path), chunk=chunk, at_once=4))
    return changed


async def reported(store: MemoryEventStore) -> Report:
    async with Shop(store) as shop:
        return await make_report(shop, at_once=4)


def without_events(report: Report) -> dict[str, Any]:
    document = report.document()
    del document["events"]
    return document


def count(store: MemoryEventStore) -> int:
    return sum(map(len, store._streams.values()))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small.csv", SMALL)


class TestReport:
    """It is what csv and Decimal alone say of the same rows."""

    async def test_odd_rows_of_one_file(self, small: Path) -> None:
        store = MemoryEventStore()
        assert await replayed(store, small) == [True]
        report = await reported(store)
        assert without_events(report) == expected(SMALL)
        assert report.events == count(store)
        assert (report.unfinished, report.contradictions) == ((), ())
        document = report.document()
        assert (document["gross"], document["refunded"], document["net"]) == ("99.153", "30.15", "69.003")
        assert document["by_country"] == {"United Kingdom": "69.00", "France": "0.003"}
        assert document["set_aside"] == {
            "adjustment number": 1,
            "price not above zero": 1,
            "quantity of the wrong sign": 2,
        }

    async def test_the_first_days_of_december(self, tmp_path: Path) -> None:
        rows = december(1_000)
        store = MemoryEventStore()
        await replayed(store, write(tmp_path / "a.csv", rows), chunk=300)
        report = await reported(store)
        assert without_events(report) == expected(rows)
        assert (report.events, report.contradictions) == (count(store), ())

    async def test_an_empty_shop_and_an_empty_file(self, tmp_path: Path) -> None:
        store = MemoryEventStore()
        nothing = await reported(store)
        assert without_events(nothing) == expected([])
        assert (nothing.events, nothing.document()["net"]) == (0, "0")
        empty = write(tmp_path / "empty.csv", [])
        assert await replayed(store, empty, empty) == [True, False]
        assert without_events(await reported(store)) == expected([])

    async def test_products_of_equal_units_stand_in_the_order_of_their_codes(self, tmp_path: Path) -> None:
        codes = ["b", "a", "B", "10", "9", "AA", "A", "Z", "Y", "X", "W", "V"]
        store = MemoryEventStore()
        await replayed(store, write(tmp_path / "a.csv", [sale(code=code) for code in codes]))
        assert [sold.code for sold in (await reported(store)).top_products] == sorted(codes)[:10]

    async def test_amounts_are_exact_however_large_and_small(self, tmp_path: Path) -> None:
        rows = [
            sale("1", quantity=999_999_999_999, UnitPrice="99999999999999999999999.99"),
            sale("2", quantity=1, UnitPrice="0.000000000000000000000000000001"),
            sale("C3", quantity=-1, UnitPrice="1E-7"),
            sale("4", quantity=3, UnitPrice="1E+2"),
        ]
        store = MemoryEventStore()
        await replayed(store, write(tmp_path / "a.csv", rows))
        document = (await reported(store)).document()
        assert document["gross"] == "99999999999899999999999990000000300.010000000000000000000000000001"
        assert document["refunded"] == "0.0000001"
        assert document["net"] == "99999999999899999999999990000000300.009999900000000000000000000001"

    async def test_rows_that_do_not_parse_count_among_the_rows(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", [*SMALL, sale(quantity="six")])
        with path.open("a") as file:
            file.write("536365,85123A\n")
        store = MemoryEventStore()
        await replayed(store, path)
        document = without_events(await reported(store))
        right = expected(SMALL)
        assert document.pop("set_aside") == right.pop("set_aside") | {"does not parse": 2}
        assert document.pop("rows") == right.pop("rows") + 2
        assert document == right


class TestStreams:
    """What stands in the streams is what happened."""

    async def test_an_order_holds_its_lines_in_the_order_of_the_file(self, small: Path) -> None:
        store = MemoryEventStore()
        await replayed(store, small, chunk=2)
        async with Shop(store) as shop:
            order = await shop.orders.get(names.order_id("536365"))
            back = await shop.returns.get(names.return_id("C536379"))
        assert [(line.number, line.code, line.units, line.file_line) for line in order.lines] == [
            (1, "85123A", 6, 2),
            (2, "85123A", 6, 4),
            (3, "22423", 3, 7),
            (4, "71053", 10, 11),
        ]
        assert [(line.number, line.code, line.units, line.amount) for line in back.lines] == [
            (1, "85123a", 1, Decimal("4.65"))
        ]

    async def test_stock_and_customers_follow_the_invoices(self, small: Path) -> None:
        store = MemoryEventStore()
        await replayed(store, small)
        async with Shop(store) as shop:
            hearts = await shop.stock.get(names.stock_id("85123A"))
            other = await shop.stock.get(names.stock_id("85123a"))
            lanterns = await shop.stock.get(names.stock_id("71053"))
            regular = await shop.customers.get(names.customer_id("17850"))
            moved = await shop.customers.get(names.customer_id("12583"))
        assert (hearts.sold, hearts.returned, other.sold, other.returned) == (18, 0, 0, 1)
        assert (lanterns.sold, lanterns.returned) == (11, 10)
        assert (regular.orders, regular.returns) == (["536365", "536368", "536369"], [])
        assert regular.first_seen == datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001 - the shop's own time
        assert (moved.orders, moved.returns, moved.spent, moved.refunded) == (
            ["536365"],
            ["C536381"],
            Decimal("25.50"),
            Decimal("25.50"),
        )

    async def test_a_hot_product_is_loaded_from_its_snapshot(self, tmp_path: Path) -> None:
        rows = [sale(str(536_000 + n // 20), "85123A", 1 + n % 7) for n in range(2_000)]
        store = MemoryEventStore()
        await replayed(store, write(tmp_path / "a.csv", rows), chunk=40, hot=0)
        hot = names.stock_id("85123A")
        (newest, *_) = await store.snapshots(hot)
        assert newest.version > 1_950
        async with Shop(store) as shop:
            assert (await shop.stock.get(hot)).sold == sum(1 + n % 7 for n in range(2_000))

    async def test_an_invoice_with_more_lines_than_one_append_takes(self, tmp_path: Path) -> None:
        rows = [sale(quantity=1 + n % 3) for n in range(1_200)]
        store = MemoryEventStore()
        await replayed(store, write(tmp_path / "a.csv", rows), chunk=1_100)
        report = await reported(store)
        assert without_events(report) == expected(rows)
        assert report.contradictions == ()


class TestAgain:
    """Nothing is doubled, whatever is replayed again."""

    async def test_the_same_file_changes_nothing_under_whatever_name(self, small: Path, tmp_path: Path) -> None:
        store = MemoryEventStore()
        copy = write(tmp_path / "copy.csv", SMALL)
        assert await replayed(store, small, small, copy) == [True, False, False]
        before = count(store)
        assert await replayed(store, small, chunk=3) == [False]
        assert count(store) == before
        assert without_events(await reported(store)) == expected(SMALL)

    async def test_the_same_rows_written_otherwise_add_nothing(self, small: Path, tmp_path: Path) -> None:
        store = MemoryEventStore()
        rows = [
            row | {"CustomerID": row["CustomerID"].removesuffix(".0"), "Description": row["Description"].title()}
            for row in SMALL
        ]
        other = write(tmp_path / "other.csv", rows, tuple(reversed(rows[0])))
        await replayed(store, small, other)
        report = await reported(store)
        # A row that is set aside is known by its text alone: those four stand there in both spellings.
        right = expected([*SMALL, *(row for row in rows if is_set_aside(row))])
        assert without_events(report) == right
        assert report.contradictions == ()

    @pytest.mark.parametrize("cut", [1, 3, 5, 8, 11])
    async def test_a_part_and_then_the_whole_are_the_whole(self, small: Path, tmp_path: Path, cut: int) -> None:
        store = MemoryEventStore()
        await replayed(store, write(tmp_path / "part.csv", SMALL[:cut]), small)
        assert without_events(await reported(store)) == expected(SMALL)
        await replayed(store, write(tmp_path / "rest.csv", SMALL[cut:]))
        report = await reported(store)
        assert without_events(report) == expected(SMALL)
        assert report.contradictions == ()

    async def test_two_parts_of_december_are_the_whole(self, tmp_path: Path) -> None:
        rows = december(1_500)
        cut = 700
        assert rows[cut - 1]["InvoiceNo"] == rows[cut]["InvoiceNo"]  # in the middle of an invoice
        store = MemoryEventStore()
        parts = (write(tmp_path / "1.csv", rows[:cut]), write(tmp_path / "2.csv", rows[cut:]))
        await replayed(store, *parts, chunk=400)
        report = await reported(store)
        assert without_events(report) == expected(rows)
        assert report.contradictions == ()

    @settings(deadline=None, max_examples=60)
    @given(data=st.data())
    def test_the_shop_holds_each_row_as_often_as_the_file_that_has_it_most_often(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        kinds = [sale(number, code, quantity) for number in ("1", "2", "C3") for code in "ab" for quantity in (1, -2)]
        files = data.draw(st.lists(st.lists(st.sampled_from(range(len(kinds))), max_size=12), min_size=1, max_size=4))
        chunk = data.draw(st.integers(1, 6))
        folder = tmp_path_factory.mktemp("files")
        union: Counter[int] = Counter()
        store = Fragile()
        for number, file in enumerate(files):
            union |= Counter(file)
            path = write(folder / f"{number}.csv", [kinds[kind] for kind in file])
            asyncio.run(replayed(store, path, chunk=chunk))
        report = asyncio.run(reported(store))
        right = expected(kinds[kind] for kind in union.elements())
        assert without_events(report) == right
        assert (report.events, report.contradictions) == (count(store), ())


def is_set_aside(row: Sale) -> bool:
    return bool(expected([row])["set_aside"])


class TestInterrupted:
    """The process may end at any append, before or after it landed; run again, the outcome is the same."""

    @pytest.mark.parametrize("lands", [False, True])
    async def test_at_every_single_append(self, small: Path, *, lands: bool) -> None:
        whole = Fragile()
        await replayed(whole, small)
        right = (await reported(whole)).document()
        for breaks_at in range(1, whole.appends + 1):
            store = Fragile(breaks_at, lands=lands)
            with pytest.raises(Stopped):
                await replayed(store, small)
            midway = await reported(store)
            assert midway.lines <= right["lines"]
            store.breaks_at = 0
            await replayed(store, small)
            report = await reported(store)
            assert report.document() == right
            assert (report.unfinished, report.contradictions) == ((), ())

    async def test_in_the_middle_of_an_invoice_too_long_for_one_append(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("examples.ecommerce.replay._APPEND", 2)
        rows = [sale(quantity=1 + n % 3, Description=f"as in row {n}") for n in range(12)]
        path = write(tmp_path / "a.csv", rows)
        whole = Fragile()
        await replayed(whole, path)
        for breaks_at in range(1, whole.appends):
            store = Fragile(breaks_at, lands=True)
            with pytest.raises(Stopped):
                await replayed(store, path)
            await replayed(store, path)
            assert (await reported(store)).document() == (await reported(whole)).document()
            async with Shop(store) as shop:
                order = await shop.orders.get(names.order_id("536365"))
            assert [(line.file_line, line.description) for line in order.lines] == [
                (n + 2, f"as in row {n}") for n in range(12)
            ]

    async def test_again_and_again(self, small: Path) -> None:
        whole = Fragile()
        await replayed(whole, small, chunk=4)
        for seed in range(20):
            draw = random.Random(seed)
            store = Fragile()
            while True:
                store.breaks_at = store.appends + draw.randint(1, 12)
                store.lands = draw.random() < 0.5
                try:
                    await replayed(store, small, chunk=4, hot=draw.choice((0, 5)))
                except Stopped:
                    continue
                break
            assert (await reported(store)).document() == (await reported(whole)).document()

    async def test_the_report_says_what_is_not_finished(self, small: Path) -> None:
        store = Fragile(12)
        with pytest.raises(Stopped):
            await replayed(store, small)
        assert (await reported(store)).unfinished == ("small.csv",)

    async def test_another_file_in_between(self, small: Path, tmp_path: Path) -> None:
        """Its lines are not added again by the one that was interrupted, and move stock once."""
        other = write(tmp_path / "other.csv", [*SMALL[4:], *SMALL[:3]])
        whole = Fragile()
        await replayed(whole, small)
        for breaks_at in range(1, whole.appends, 2):
            store = Fragile(breaks_at, lands=True)
            with pytest.raises(Stopped):
                await replayed(store, small)
            await replayed(store, other, small)
            report = await reported(store)
            assert without_events(report) == expected(SMALL)
            assert (report.unfinished, report.contradictions) == ((), ())


class TestAtOnce:
    """Several processes replay at the same time."""

    @staticmethod
    async def together(store: MemoryEventStore, runs: Iterable[Callable[[], Any]]) -> None:
        await asyncio.gather(*(run() for run in runs))

    async def test_the_same_file(self, small: Path) -> None:
        store = Fragile()
        await self.together(store, [lambda: replayed(store, small, chunk=4)] * 3)
        report = await reported(store)
        assert without_events(report) == expected(SMALL)
        assert (report.events, report.contradictions) == (count(store), ())

    async def test_files_that_overlap(self, small: Path, tmp_path: Path) -> None:
        store = Fragile()
        other = write(tmp_path / "other.csv", [*reversed(SMALL)])
        await self.together(store, [lambda: replayed(store, small), lambda: replayed(store, other)])
        report = await reported(store)
        assert without_events(report) == expected(SMALL)
        assert report.contradictions == ()
