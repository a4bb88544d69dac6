"""The shop's read side on a real node: carried by the replay, and asked by the report and by whoever shows a page."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm import Database, connect
from examples.ecommerce import names
from examples.ecommerce.money import EXACT
from examples.ecommerce.read_models import NO_COUNTRY, ActiveCustomer, CustomerRow, OrderRow, ProductRow, RevenueByDay
from tests.flows.sales import SMALL, Sale, expected, sale, write
from tests.flows.shop_command import Ended, Shop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

LATER: list[Sale] = [
    sale("536400", "22423", 2, InvoiceDate="2010-12-02 10:00:00"),
    sale("536401", "22423", 1, InvoiceDate="2011-01-04 09:00:00"),
    sale("536402", "X", 1, Country=""),
    sale("1", quantity=999_999_999_999, UnitPrice="99999999999999999999999.99", Country="Far", CustomerID=""),
    sale("2", UnitPrice="0.000000000000000000000000000001", Country="Far", CustomerID=""),
]
"""Amounts whose sum has far more digits than a Decimal keeps unless it is told to; a country that is none."""
ALL = [*SMALL, *LATER]


class Told(NamedTuple):
    """What the commands said, one after the other, and the tables that they left."""

    db: Database
    nobody: Ended
    replayed: Ended
    report: Ended


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(cassandra_hosts: list[str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    keyspace, folder = f"shop_{uuid4().hex[:8]}", tmp_path_factory.mktemp("files")
    part, whole = write(folder / "part.csv", SMALL[:9]), write(folder / "whole.csv", ALL)
    async with connect(cassandra_hosts) as opened:
        shop = Shop(cassandra_hosts, keyspace, opened)
        try:
            # The first file comes when there is no read side yet: it has to be read back from the streams.
            await shop.run("replay", "--data", part)
            nobody = await shop.run("report", "--from", "read-side")
            replayed = await shop.run("replay", "--data", whole, "--json", "--from", "both")
            report = await shop.run("report", "--from", "both")
            async with connect(cassandra_hosts, keyspace=keyspace) as db:
                yield Told(db, nobody, replayed, report)
        finally:
            await opened.ddl(f"DROP KEYSPACE IF EXISTS {keyspace}")


def test_a_report_before_anybody_carries_the_read_side_says_what_to_do(told: Told) -> None:
    assert (told.nobody.code, told.nobody.output) == (1, "")
    assert "there is no read side yet" in told.nobody.errors
    assert "Run the replay again" in told.nobody.errors


def test_the_read_side_says_what_the_streams_say(told: Told) -> None:
    assert told.replayed.code == 0, told.replayed.errors
    document = told.replayed.document
    read_side = document["read side"]
    # As text: in the same order as well.
    assert str(read_side) == str(document["streams"])
    assert read_side.pop("events") > len(ALL)
    with localcontext(EXACT):
        assert read_side == expected(ALL)
    assert told.report.code == 0
    for shown in ("read side", "streams", "£76.65", "Far", "answered in"):
        assert shown in told.report.output
    assert told.report.errors == "the read side and the streams say the same\n"


def test_it_is_said_when_the_read_side_has_caught_up(told: Told) -> None:
    assert re.search(
        r"^read side: shows everything, \d+\.\d s after the last append$", told.replayed.errors, re.MULTILINE
    )


async def test_a_customers_history_is_newest_first(told: Told) -> None:
    async with told.db:
        orders = await OrderRow.find_by(customer="17850")
        assert [row.number for row in orders][:2] == ["536401", "536400"]
        assert {row.number for row in orders[2:]} == {"536365", "536368", "536369", "536402"}
        order = await OrderRow.find_by_id(names.order_id("536365"))
        assert order is not None
        assert (order.lines, order.returned, order.country) == (4, False, "United Kingdom")
        assert order.amount == Decimal("56.103")
        assert order.placed_at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
        assert order in orders
        assert await OrderRow.found_by(customer="17850").limit(2).all() == orders[:2]


async def test_products_countries_days_and_customers_are_asked_by_their_keys(told: Told) -> None:
    async with told.db:
        product = await ProductRow.find_by_id(names.stock_id("71053"))
        assert product is not None
        assert (product.sold, product.returned) == (11, 10)
        days = await RevenueByDay.find(RevenueByDay.day >= date(2010, 12, 2), country="United Kingdom")
        assert [(each.day, each.orders, each.gross) for each in days] == [
            (date(2010, 12, 2), 1, Decimal("5.10")),
            (date(2011, 1, 4), 1, Decimal("2.55")),
        ]
        assert await RevenueByDay.find_by_id("France", date(2010, 12, 1)) is not None
        assert [each.lines for each in await RevenueByDay.find(country=NO_COUNTRY)] == [1]
        british = await CustomerRow.find_by(country="United Kingdom")
        assert [each.customer for each in british] == ["12583", "14527", "17850"]
        assert [each.refunded for each in british] == [Decimal("25.50"), Decimal("4.65"), Decimal(0)]


async def test_active_customers_are_counted_by_day_and_by_month(told: Told) -> None:
    async with told.db:
        counts = {
            period: await ActiveCustomer.where(ActiveCustomer.period == period).count()
            for period in ("2010-12-01", "2010-12-02", "2010-12", "2011-01", "2011-02")
        }
    assert counts == {"2010-12-01": 3, "2010-12-02": 1, "2010-12": 3, "2011-01": 1, "2011-02": 0}
