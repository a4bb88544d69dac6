"""The protocol searched through: with all protections nothing is skipped, without any one of them an event is."""

import pytest

from tests.faults.conftest import SOAK
from tests.faults.feed_model import OFF, SAFE, SAFE_LONG, Variant, search

SEARCHED = SAFE | (SAFE_LONG if SOAK else {})


@pytest.mark.parametrize("variant", [pytest.param(variant, id=name) for name, variant in SEARCHED.items()])
@pytest.mark.timeout(1800 if SOAK else 60)
def test_nothing_is_skipped_whatever_happens_in_whatever_order(variant: Variant) -> None:
    worlds, way = search(variant)
    assert way is None
    assert worlds > 5_000, "too little was searched to show anything"


@pytest.mark.parametrize("protection", OFF)
def test_without_this_protection_an_event_is_skipped(protection: str) -> None:
    _, way = search(OFF[protection])
    assert way is not None
    assert way[-1].startswith(("batch", "resolved is"))
