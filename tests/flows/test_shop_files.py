"""What the shop reads from files, and what it refuses or sets aside."""

import gzip
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from examples.ecommerce.datafile import DataFileError
from examples.ecommerce.rows import Checked, Reason, Row, SetAside, check, chunks
from tests.flows.sales import COLUMNS, sale, write

HEADER = ",".join(COLUMNS)
GOOD = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def read(path: Path) -> list[Row | SetAside]:
    return [row for chunk in chunks(check(path), 3) for row in chunk]


def lines(path: Path, *texts: str | bytes) -> Path:
    path.write_bytes(b"\n".join(text if isinstance(text, bytes) else text.encode() for text in texts) + b"\n")
    return path


class TestRows:
    """What a row says."""

    def test_a_row_is_taken_as_it_is_written(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", [sale(code="15056bl", Description='RECORD FRAME 7" SINGLE, ')])
        assert read(path) == [
            Row(
                file_line=2,
                number="536365",
                code="15056bl",
                description='RECORD FRAME 7" SINGLE, ',
                quantity=1,
                at=datetime(2010, 12, 1, 8, 26),  # noqa: DTZ001 - the shop's own time
                price=Decimal("2.55"),
                customer="17850",
                country="United Kingdom",
            )
        ]

    @pytest.mark.parametrize(
        ("text", "customer"), [("17850.0", "17850"), ("17850", "17850"), ("", None), (" ", None), ("B-12", "B-12")]
    )
    def test_a_customer_number_loses_the_point_that_a_spreadsheet_gave_it(
        self, tmp_path: Path, text: str, customer: str | None
    ) -> None:
        (row,) = read(write(tmp_path / "a.csv", [sale(CustomerID=text)]))
        assert isinstance(row, Row)
        assert row.customer == customer

    @pytest.mark.parametrize(
        ("text", "at"),
        [
            ("2010-12-01T08:26:00", datetime(2010, 12, 1, 8, 26)),  # noqa: DTZ001 - the shop's own time
            ("12/31/2010 8:26", datetime(2010, 12, 31, 8, 26)),  # noqa: DTZ001
            ("2010-12-01 09:26:00+01:00", datetime(2010, 12, 1, 8, 26)),  # noqa: DTZ001
        ],
    )
    def test_dates_of_other_editions_of_the_set_are_read(self, tmp_path: Path, text: str, at: datetime) -> None:
        (row,) = read(write(tmp_path / "a.csv", [sale(InvoiceDate=text)]))
        assert isinstance(row, Row)
        assert row.at == at

    def test_columns_stand_in_any_order_beside_others(self, tmp_path: Path) -> None:
        columns = ["Extra", *reversed(COLUMNS)]
        path = write(tmp_path / "a.csv", [sale(Extra="x"), sale("C1", quantity=-2, Extra="y")], columns)
        assert [(row.number, row.quantity, row.is_return) for row in read(path) if isinstance(row, Row)] == [
            ("536365", 1, False),
            ("C1", -2, True),
        ]

    @pytest.mark.parametrize("content", ["\ufeff" + HEADER + "\r\n" + GOOD + "\r\n", HEADER + "\n\n\n" + GOOD])
    def test_a_byte_order_mark_blank_lines_and_line_ends_of_windows_are_no_matter(
        self, tmp_path: Path, content: str
    ) -> None:
        path = tmp_path / "a.csv"
        path.write_bytes(content.encode())
        (row,) = read(path)
        assert isinstance(row, Row)
        assert (row.number, row.country) == ("536365", "United Kingdom")

    def test_gzip_is_known_by_what_the_file_holds(self, tmp_path: Path) -> None:
        plain = write(tmp_path / "a.csv", [sale(), sale("C2", quantity=-1)])
        packed = tmp_path / "b.csv"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        assert read(packed) == read(plain)
        assert check(packed).digest == check(plain).digest


class TestSetAside:
    """Rows that are not applied: with their line in the file, and why."""

    @pytest.mark.parametrize(
        ("row", "reason", "detail"),
        [
            (sale(UnitPrice="0.0"), Reason.PRICE, "UnitPrice is 0.0"),
            (sale(UnitPrice="-1"), Reason.PRICE, "UnitPrice is -1"),
            (sale(quantity=-3), Reason.QUANTITY, "Quantity is -3 on a sale"),
            (sale(quantity=0), Reason.QUANTITY, "Quantity is 0 on a sale"),
            (sale("C7", quantity=3), Reason.QUANTITY, "Quantity is 3 on a return"),
            (sale("C7", quantity=0), Reason.QUANTITY, "Quantity is 0 on a return"),
            (sale("A563185"), Reason.ADJUSTMENT, "InvoiceNo A563185 begins with A"),
            (sale("A563186", UnitPrice="-11062.06"), Reason.ADJUSTMENT, "InvoiceNo A563186 begins with A"),
            (sale(quantity=-3, UnitPrice="0"), Reason.PRICE, "UnitPrice is 0"),
            (sale(quantity="six"), Reason.BROKEN, "Quantity 'six' is no whole number"),
            (sale(quantity="1.5"), Reason.BROKEN, "Quantity '1.5' is no whole number"),
            (sale(quantity="1_000"), Reason.BROKEN, "Quantity '1_000' is no whole number"),
            (sale(quantity=""), Reason.BROKEN, "Quantity '' is no whole number"),
            (sale(UnitPrice="2,55"), Reason.BROKEN, "UnitPrice '2,55' is no decimal number"),
            (sale(UnitPrice="NaN"), Reason.BROKEN, "UnitPrice 'NaN' is no decimal number"),
            (sale(UnitPrice="Infinity"), Reason.BROKEN, "UnitPrice 'Infinity' is no decimal number"),
            (sale(UnitPrice="1e99"), Reason.BROKEN, "UnitPrice '1e99' has more than 30 digits"),
            (sale(InvoiceDate="2010-13-01"), Reason.BROKEN, "InvoiceDate '2010-13-01' is no date such as"),
            (sale(InvoiceDate=""), Reason.BROKEN, "InvoiceDate '' is no date such as"),
            (sale(number=""), Reason.BROKEN, "InvoiceNo is empty"),
            (sale(code=" "), Reason.BROKEN, "StockCode is empty"),
            (sale(Description="x" * 1001), Reason.BROKEN, "Description has 1,001 characters, at most 1,000"),
        ],
    )
    def test_a_row_is_set_aside_for_the_first_reason_that_holds(
        self, tmp_path: Path, row: dict[str, str], reason: Reason, detail: str
    ) -> None:
        first, second, third = read(write(tmp_path / "a.csv", [sale(), row, sale()]))
        assert isinstance(second, SetAside)
        assert (second.file_line, second.reason) == (3, reason)
        assert second.detail.startswith(detail)
        assert second.text.startswith(f"{row['InvoiceNo']},{row['StockCode']},")
        assert isinstance(first, Row)
        assert isinstance(third, Row)

    @pytest.mark.parametrize(
        ("broken", "detail"),
        [
            ("536365,85123A,HEART,6", "has 4 fields, the header has 8"),
            (GOOD + ",more", "has 9 fields, the header has 8"),
            ("   ", "has 1 fields, the header has 8"),
            (b"536365,85123A,\xa3 HEART,6,2010-12-01 08:26:00,2.55,17850.0,EIRE", "is not UTF-8 text"),
        ],
    )
    def test_a_line_that_is_no_row_is_broken(self, tmp_path: Path, broken: str | bytes, detail: str) -> None:
        first, second, third = read(lines(tmp_path / "a.csv", HEADER, GOOD, broken, GOOD))
        assert isinstance(second, SetAside)
        assert (second.file_line, second.reason, second.detail) == (3, Reason.BROKEN, detail)
        assert isinstance(first, Row)
        assert isinstance(third, Row)
        assert third.file_line == 4

    def test_line_numbers_count_the_lines_of_the_file_not_its_rows(self, tmp_path: Path) -> None:
        tall = '536365,85123A,"HEART\nOF\nGLASS",6,2010-12-01 08:26:00,2.55,17850.0,EIRE'
        rows = read(lines(tmp_path / "a.csv", HEADER, tall, "", "536366,85123A,HEART", GOOD))
        assert [row.file_line for row in rows] == [2, 6, 7]
        assert [isinstance(row, Row) for row in rows] == [True, False, True]
        assert isinstance(rows[0], Row)
        assert rows[0].description == "HEART\nOF\nGLASS"

    @pytest.mark.parametrize("following", [1, 5_000])
    def test_a_quote_that_is_not_closed_costs_its_own_row_alone(self, tmp_path: Path, following: int) -> None:
        open_quote = '536365,85123A,"HEART,6,2010-12-01 08:26:00,2.55,17850.0,EIRE'
        rows = read(lines(tmp_path / "a.csv", HEADER, GOOD, open_quote, *[GOOD] * following))
        broken = [row for row in rows if isinstance(row, SetAside)]
        assert [(row.file_line, row.detail) for row in broken] == [(3, "opens a quote that is not closed")]
        assert len(rows) == following + 2
        assert [row.file_line for row in rows] == list(range(2, following + 4))

    def test_the_check_shows_the_first_broken_rows_and_counts_all(self, tmp_path: Path) -> None:
        rows = [sale(quantity="x") for _ in range(25)] + [sale(UnitPrice="0"), sale()]
        checked = check(write(tmp_path / "a.csv", rows))
        assert (checked.rows, checked.broken_count, len(checked.broken)) == (27, 25, 20)
        assert checked.broken[0].file_line == 2


class TestRefused:
    """A file that cannot be replayed: the error names it, what is wrong and what to do."""

    @pytest.mark.parametrize(
        ("columns", "problem"),
        [
            (COLUMNS[:5] + COLUMNS[6:], "the column UnitPrice is missing; the header has InvoiceNo, StockCode, Descr"),
            (COLUMNS[2:], "the columns InvoiceNo, StockCode are missing; the header has Description, Quantity"),
            ((*COLUMNS, "Quantity"), "the header has Quantity twice"),
        ],
    )
    def test_a_missing_column_is_named(self, tmp_path: Path, columns: tuple[str, ...], problem: str) -> None:
        path = write(tmp_path / "a.csv", [sale()], columns)
        with pytest.raises(DataFileError, match=r"Nothing was written. Give the first line the columns") as caught:
            check(path)
        assert caught.value.where == str(path)
        assert caught.value.problem.startswith(problem)

    def test_an_empty_file_has_no_columns(self, tmp_path: Path) -> None:
        with pytest.raises(DataFileError, match="the header has nothing"):
            check(lines(tmp_path / "a.csv"))

    def test_truncated_gzip_says_how_far_it_could_be_read(self, tmp_path: Path) -> None:
        rows = [sale(str(number), quantity=1 + number % 977) for number in range(536_000, 540_000)]
        whole = gzip.compress(write(tmp_path / "whole.csv", rows).read_bytes())
        path = tmp_path / "a.csv.gz"
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataFileError, match=r"Nothing was written. Get the whole file and run the same") as caught:
            check(path)
        assert caught.value.where == str(path)
        found = re.search(r"end or break after line ([\d,]+), ([\d,]+) rows in", caught.value.problem)
        assert found is not None
        line, row = (int(number.replace(",", "")) for number in found.groups())
        assert 1_500 < row < line < 2_500

    @pytest.mark.parametrize("damage", [b"", b"\x1f", b"no gzip at all"])
    def test_a_file_named_gz_that_holds_none_is_refused(self, tmp_path: Path, damage: bytes) -> None:
        path = tmp_path / "a.csv.gz"
        path.write_bytes(damage)
        with pytest.raises(DataFileError, match="end or break after line 0, 0 rows in"):
            check(path)

    def test_a_damaged_byte_is_found_before_anything_is_applied(self, tmp_path: Path) -> None:
        data = bytearray(gzip.compress(write(tmp_path / "a.csv", [sale()] * 50).read_bytes()))
        data[-6] ^= 1  # in the checksum at the end
        path = tmp_path / "a.csv.gz"
        path.write_bytes(data)
        with pytest.raises(DataFileError, match="CRC check failed"):
            check(path)

    def test_a_file_that_is_not_there_or_no_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataFileError, match=r"cannot be read: No such file or directory. Nothing was written. Check"
        ):
            check(tmp_path / "none.csv")
        with pytest.raises(DataFileError, match=r"is no file. Name a .csv"):
            check(tmp_path)

    def test_a_file_that_changes_between_the_check_and_the_replay_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", [sale()])
        checked: Checked = check(path)
        write(path, [sale(quantity=2)])
        with pytest.raises(DataFileError, match="was changed while it was replayed"):
            list(chunks(checked, 10))
