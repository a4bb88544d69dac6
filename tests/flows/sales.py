"""Files of sales for tests, and what the shop must report on them, computed by nothing but csv and Decimal."""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
REPOSITORY = Path(__file__).parents[2]
DECEMBER = REPOSITORY / "examples/ecommerce/data/online-retail-2010-12.csv.gz"

Sale = dict[str, str]


def sale(number: str = "536365", code: str = "85123A", quantity: int | str = 1, **columns: str) -> Sale:
    """One row; what is not given is ordinary."""
    return {
        "InvoiceNo": number,
        "StockCode": code,
        "Description": "WHITE HANGING HEART T-LIGHT HOLDER",
        "Quantity": str(quantity),
        "InvoiceDate": "2010-12-01 08:26:00",
        "UnitPrice": "2.55",
        "CustomerID": "17850.0",
        "Country": "United Kingdom",
    } | columns


SMALL: list[Sale] = [
    sale("536365", "85123A", 6, CustomerID="17850.0"),
    sale("536366", "85123A", 2, UnitPrice="2.5", CustomerID=""),
    sale("536365", "85123A", 6, CustomerID="17850.0"),  # the same line again, and not next to it
    sale("C536379", "85123a", -1, UnitPrice="4.65", CustomerID="14527.0"),
    sale("536367", "22423", 1, UnitPrice="0.0"),
    sale("536365", "22423", 3, UnitPrice="0.001", Country="France"),  # another country than the rest of its order
    sale("A536370", "B", 1, UnitPrice="11062.06"),
    sale("536366", "22423", -2),
    sale("C536379", "22423", 5),
    sale("536365", "71053", 10, CustomerID="12583.0"),  # another customer than the rest of its order
    sale("C536381", "71053", -10, CustomerID="12583.0"),
    sale("536366", "85123A", 2, UnitPrice="2.5", CustomerID=""),
    sale("536368", "71053", 1, CustomerID="17850.0"),
    sale("536369", "22086", 10),
    sale("536366", "85123A", 2, UnitPrice="2.5", CustomerID=""),
]


def write(path: Path, rows: Iterable[Mapping[str, str]], columns: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def december(rows: int | None = None) -> list[Sale]:
    with gzip.open(DECEMBER, "rt", newline="") as file:
        return [row for _, row in zip(range(rows or 1_000_000), csv.DictReader(file), strict=False)]


def expected(rows: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """What the report on these rows is, `events` left out; every row parses."""
    gross = refunded = Decimal(0)
    numbers: dict[bool, set[str]] = {True: set(), False: set()}
    by_country: dict[str, Decimal] = {}
    customers: set[str] = set()
    units: Counter[str] = Counter()
    aside: Counter[str] = Counter()
    count = lines = 0
    for row in rows:
        count += 1
        number, quantity, price = row["InvoiceNo"], int(row["Quantity"]), Decimal(row["UnitPrice"])
        returned = number[0] == "C"
        if number[0] == "A":
            aside["adjustment number"] += 1
        elif price <= 0:
            aside["price not above zero"] += 1
        elif (quantity < 0) != returned or quantity == 0:
            aside["quantity of the wrong sign"] += 1
        else:
            lines += 1
            numbers[returned].add(number)
            by_country[row["Country"]] = by_country.get(row["Country"], Decimal(0)) + quantity * price
            if row["CustomerID"]:
                customers.add(row["CustomerID"].removesuffix(".0"))
            if returned:
                refunded -= quantity * price
            else:
                gross += quantity * price
                units[row["StockCode"]] += quantity
    top = sorted(units.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {
        "rows": count,
        "invoices": len(numbers[False]),
        "returns": len(numbers[True]),
        "lines": lines,
        "gross": str(gross),
        "refunded": str(refunded),
        "net": str(gross - refunded),
        "customers": len(customers),
        "by_country": {country: str(net) for country, net in by_country.items()},
        "top_products": [{"code": code, "units": sold} for code, sold in top],
        "set_aside": dict(aside),
    }
