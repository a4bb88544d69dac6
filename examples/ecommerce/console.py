"""What a person sees: bars on stderr while it runs, the report on stdout."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from examples.ecommerce.report import Answer, Report

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

    def say(self, line: str) -> None:
        """Print a line on stderr, above the bars."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def add(self, what: str, unit: str, total: float | None = None) -> Advance:
        """Return what to call with the number done since the last call."""
        task = self._progress.add_task(what, total=total, unit=unit)
        return lambda done: self._progress.advance(task, done)


def print_answers(answers: Sequence[Answer], keyspace: str) -> None:
    """Print the report as tables, with a column for each source that answered."""
    console = Console(highlight=False)
    for title, names, values in (
        (f"The shop in keyspace {keyspace}", ("",), [_figures(answer) for answer in answers]),
        ("Net by country", ("country",), [_countries(answer.report) for answer in answers]),
        ("Most units sold", ("code", "product"), [_products(answer.report) for answer in answers]),
    ):
        keys = dict.fromkeys(key for value in values for key in value)
        if not keys:
            continue
        table = Table(*names, title=title)
        for answer in answers:
            table.add_column(answer.source, justify="right")
        for key in keys:
            table.add_row(*key, *(value.get(key, "") for value in values))
        console.print(table)


def _figures(answer: Answer) -> dict[tuple[str, ...], str]:
    report = answer.report
    return {
        ("rows read",): f"{report.rows:,}",
        ("lines applied",): f"{report.lines:,}",
        ("orders",): f"{report.invoices:,}",
        ("returns",): f"{report.returns:,}",
        ("customers",): f"{report.customers:,}",
        ("gross",): _pounds(report.gross),
        ("refunded",): _pounds(report.refunded),
        ("net",): _pounds(report.net),
        ("events in the streams",): f"{report.events:,}",
        **{(f"set aside: {reason}",): f"{count:,}" for reason, count in report.set_aside.items()},
        ("answered in",): f"{answer.seconds:.2f} s",
    }


def _countries(report: Report) -> dict[tuple[str, ...], str]:
    return {(country,): _pounds(net) for country, net in report.by_country.items()}


def _products(report: Report) -> dict[tuple[str, ...], str]:
    return {(sold.code, sold.description.strip()): f"{sold.units:,}" for sold in report.top_products}


def _pounds(amount: Decimal) -> str:
    """Return an amount with thousands apart and at least two decimals; nothing is rounded away."""
    exponent = amount.as_tuple().exponent
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{'-' if amount < 0 else ''}£{amount.copy_abs():,.{decimals}f}"
