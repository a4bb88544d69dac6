"""The shop as a user runs it: its command, on a real node, killed and started again."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from cassorm import Session
from tests.faults.conftest import SOAK
from tests.flows.sales import DECEMBER, REPOSITORY, december, expected, sale, write
from tests.flows.shop_command import Shop, end

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

WHOLE = ("42,481", "1,559", "326", "£823,746.14", "£74,789.12", "£748,957.02", "WORLD WAR 2 GLIDERS", "EIRE")
"""What the report of the whole month shows, among others."""


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Commands begun here take SIGINT also where the tests run in the background, which ignores it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def shop(cassandra_hosts: list[str], cassorm_keyspace: str, cassorm_session: Session) -> Shop:
    return Shop(cassandra_hosts, cassorm_keyspace, cassorm_session)


async def test_december_is_reported_as_csv_and_decimal_alone_say(shop: Shop, tmp_path: Path) -> None:
    rows = december() if SOAK else december(5_000)
    replayed = await shop.run("replay", "--data", DECEMBER if SOAK else write(tmp_path / "a.csv", rows), "--json")
    assert (replayed.code, replayed.errors) == (0, "")
    document = replayed.document
    assert document.pop("events") == await shop.events()
    assert document == expected(rows)

    report = await shop.run("report")
    assert report.code == 0
    for shown in WHOLE if SOAK else ("5,000", "EIRE"):
        assert shown in report.output


@pytest.mark.parametrize(("ending", "moments"), [(signal.SIGKILL, (1, 600, 2_000)), (signal.SIGINT, (1, 1_250))])
async def test_killed_again_and_again_it_ends_as_if_it_had_run_once(
    shop: Shop, tmp_path: Path, ending: signal.Signals, moments: Sequence[int]
) -> None:
    rows = december(1_500)
    command = ("replay", "--data", write(tmp_path / "a.csv", rows), "--json", "--chunk", "400", "--concurrency", "16")
    for events in moments:
        process = await shop.begin(*command)
        await shop.stopped_behind(events, process)
        process.send_signal(ending)
        process.send_signal(signal.SIGCONT)
        killed = await end(process)
        if ending is signal.SIGINT:
            assert (killed.code, killed.output) == (130, "")
            assert "interrupted; run the same command again, it continues" in killed.errors
            assert "Traceback" not in killed.errors
        else:
            assert killed.code == -ending
    midway = await shop.run("report", "--json")
    assert 0 < midway.document["lines"] < 1_500
    assert midway.errors == "the replay of a.csv is not finished: run it again\n"

    document = (await shop.run(*command)).document
    assert document.pop("events") == await shop.events()
    assert document == expected(rows)
    before = await shop.events()
    again = await shop.run(*command)
    assert again.errors == f"{tmp_path / 'a.csv'}: everything in it is there already\n"
    assert again.document == document | {"events": before}
    assert await shop.events() == before


async def test_two_processes_replay_the_same_file_at_once(shop: Shop, tmp_path: Path) -> None:
    rows = december(500)
    command = ("replay", "--data", write(tmp_path / "a.csv", rows), "--json", "--chunk", "200")
    first, second = await asyncio.gather(shop.run(*command), shop.run(*command))
    assert (first.code, second.code) == (0, 0), (first.errors, second.errors)
    document = (await shop.run("report", "--json")).document
    assert document.pop("events") == await shop.events()
    assert document == expected(rows)


async def test_two_files_make_one_shop(shop: Shop, tmp_path: Path) -> None:
    rows = december(600)
    for name, part in (("1.csv", rows[:400]), ("2.csv", rows[250:])):
        assert (await shop.run("replay", "--data", write(tmp_path / name, part))).code == 0
    document = (await shop.run("report", "--json")).document
    assert document.pop("events") == await shop.events()
    assert document == expected(rows)


async def test_rows_that_do_not_parse_are_told_with_their_line_and_kept(shop: Shop, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [sale(), sale(quantity="six"), sale(UnitPrice="0.0")])
    replayed = await shop.run("replay", "--data", path, "--json")
    assert replayed.code == 0
    problem = "Quantity 'six' is no whole number of at most 12 digits"
    assert replayed.errors == f"{path}:3: set aside: does not parse: {problem}\n"
    assert replayed.document["set_aside"] == {"does not parse": 1, "price not above zero": 1}

    aside = await shop.run("set-aside", "--json")
    text = "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,{},2010-12-01 08:26:00,{},17850.0,United Kingdom"
    assert aside.document == [
        {"file": "a.csv", "line": 3, "reason": "does not parse", "detail": problem, "text": text.format("six", "2.55")},
        {
            "file": "a.csv",
            "line": 4,
            "reason": "price not above zero",
            "detail": "UnitPrice is 0.0",
            "text": text.format("1", "0.0"),
        },
    ]
    shown = await shop.run("set-aside")
    assert shown.output.splitlines()[0].startswith(f"a.csv:3: does not parse: {problem}: 536365,85123A,")


def _truncated(path: Path) -> Path:
    whole = DECEMBER.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    return path


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda path: write(path / "a.csv", [sale()], ("InvoiceNo", "Quantity")), r"a\.csv: the columns StockCode, "),
        (
            lambda path: _truncated(path / "a.csv.gz"),
            r"a\.csv\.gz: the compressed data end or break after line 1\d,\d{3}",
        ),
        (lambda path: path / "none.csv", r"none\.csv: cannot be read: No such file"),
    ],
)
async def test_a_file_that_cannot_be_replayed_writes_nothing(
    shop: Shop, tmp_path: Path, broken: Callable[[Path], Path], problem: str
) -> None:
    refused = await shop.run("replay", "--data", broken(tmp_path), "--json")
    assert (refused.code, refused.output) == (1, "")
    assert re.search(problem, refused.errors), refused.errors
    assert "Nothing was written" in refused.errors
    assert "run the same command again" in refused.errors
    assert "Traceback" not in refused.errors
    assert await shop.events() == 0


async def test_a_whole_file_goes_on_where_its_part_ended(shop: Shop, tmp_path: Path) -> None:
    """What the error about a truncated file promises: rows that another file brought are not added again."""
    rows = december(400)
    await shop.run("replay", "--data", write(tmp_path / "part.csv", rows[:250]))
    whole = await shop.run("replay", "--data", write(tmp_path / "whole.csv", rows), "--json")
    document = whole.document
    assert document.pop("events") == await shop.events()
    assert document == expected(rows)


async def test_a_report_on_a_keyspace_that_does_not_exist_creates_none(shop: Shop, cassorm_session: Session) -> None:
    shop.keyspace += "_not"
    refused = await shop.run("report")
    assert refused.code == 2
    assert shop.keyspace in refused.errors
    keyspaces = await cassorm_session.execute("SELECT keyspace_name FROM system_schema.keyspaces")
    assert (shop.keyspace,) not in keyspaces.rows


async def test_the_quickstart_runs(cassandra_hosts: list[str], cassorm_session: Session) -> None:
    script = REPOSITORY / "examples" / "quickstart.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        env=os.environ | {"CASSORM_HOSTS": ",".join(cassandra_hosts)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = await end(process)
    await cassorm_session.ddl("DROP KEYSPACE IF EXISTS quickstart")
    assert (ended.code, ended.errors) == (0, "")
    assert re.search(r"version=2 owner='Zoë' balance=Decimal\('12.50'\)", ended.output)
    assert len(script.read_text().splitlines()) <= 40
