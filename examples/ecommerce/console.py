"""What a person sees: bars on stderr while it runs, the report on stdout."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from examples.ecommerce.report import Report

Advance = Callable[[float], None]


class _Speed(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s")


class Bars:
    """Progress on stderr: nothing unless it is a terminal, or when `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            _Speed(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bars while the block runs."""
        with self._progress:
            yield

    def add(self, what: str, unit: str, total: float | None = None) -> Advance:
        """Return what to call with the number done since the last call."""
        task = self._progress.add_task(what, total=total, unit=unit)
        return lambda done: self._progress.advance(task, done)


def print_report(report: Report, keyspace: str) -> None:
    """Print the report as tables."""
    console = Console(highlight=False)
    table = Table(title=f"The shop in keyspace {keyspace}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("rows read", f"{report.rows:,}"),
        ("lines applied", f"{report.lines:,}"),
        ("orders", f"{report.invoices:,}"),
        ("returns", f"{report.returns:,}"),
        ("customers", f"{report.customers:,}"),
        ("gross", _pounds(report.gross)),
        ("refunded", _pounds(report.refunded)),
        ("net", _pounds(report.net)),
        ("events in the streams", f"{report.events:,}"),
        *((f"set aside: {reason}", f"{count:,}") for reason, count in report.set_aside.items()),
    ):
        table.add_row(name, value)
    console.print(table)
    if report.by_country:
        countries = Table("country", title="Net by country")
        countries.add_column("net", justify="right")
        for country, net in report.by_country.items():
            countries.add_row(country, _pounds(net))
        console.print(countries)
    if report.top_products:
        products = Table("code", "product", title="Most units sold")
        products.add_column("units", justify="right")
        for sold in report.top_products:
            products.add_row(sold.code, sold.description.strip(), f"{sold.units:,}")
        console.print(products)


def _pounds(amount: Decimal) -> str:
    """Return an amount with thousands apart and at least two decimals; nothing is rounded away."""
    exponent = amount.as_tuple().exponent
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{'-' if amount < 0 else ''}£{amount.copy_abs():,.{decimals}f}"
