"""Time: the text form is exact both ways, sorts as time does, and nothing else is accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.clock import DAY_US, days_before, parse_time, time_text, window_start

MAX_US = 253_402_300_799_999_999
instants = st.integers(min_value=0, max_value=MAX_US)


@given(instants)
def test_parsing_undoes_writing(us: int) -> None:
    assert parse_time(time_text(us)) == us


@given(instants)
def test_the_text_is_that_of_the_standard_library(us: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    assert time_text(us) == moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@given(instants, instants)
def test_texts_sort_as_times_do(a: int, b: int) -> None:
    assert (a < b) == (time_text(a) < time_text(b))


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00.000000Z",
        "2026-13-01T00:00:00.000000Z",
        "2026-00-10T00:00:00.000000Z",
        "2026-01-00T00:00:00.000000Z",
        "2026-01-01T24:00:00.000000Z",
        "2026-01-01T00:60:00.000000Z",
        "2026-01-01T00:00:60.000000Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.0000000Z",
        "2026-01-01T00:00:00.000000+00:00",
        "2026-01-01 00:00:00.000000Z",
        "1969-12-31T23:59:59.999999Z",
        "٢٠٢٦-01-01T00:00:00.000000Z",
        "2026-01-01T00:00:00.000000Z\n",
        "",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|date|day|month"):
        parse_time(text)


@pytest.mark.parametrize("us", [-1, MAX_US + 1])
def test_times_outside_the_calendar_are_refused(us: int) -> None:
    with pytest.raises(ValueError, match=r"1970|year"):
        time_text(us)


def test_the_window_is_thirty_days_and_never_before_1970() -> None:
    assert days_before(40 * DAY_US) == 10 * DAY_US
    assert days_before(5) == 0
    assert window_start(31 * DAY_US) == "1970-01-02T00:00:00.000000Z"
