"""What counts as a difference between two runs of the ADR desk."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.audit.adr_compare import differences
from kairos.audit.adr_horizon import Horizon
from kairos.audit.adr_inputs import Change
from kairos.audit.adr_outputs import Column, Known, Needs, Panel
from kairos.audit.findings import Trial

DAYS = np.arange("2024-03-04", "2024-03-08", dtype="datetime64[D]")
CUT = np.datetime64("2024-03-06T18:00", "ns")
RULE = (Known.DAY, Needs.PRICES)


def horizon(kind: Trial = Trial.CUT) -> Horizon:
    month = np.datetime64("2024-02", "M")
    return Horizon(Change(kind, CUT, DAYS[2], 0), DAYS[2], {"XLON": month}, {"XLON": {Needs.PRICES: DAYS[1]}})


def panel(values, names=("A",), moments=DAYS, rule=RULE, absent=np.nan) -> Panel:
    array = np.array(values)
    array = array if array.dtype == object else array.astype(np.float64)
    return Panel("XLON", moments, {"x": Column(list(names), array.reshape(len(moments), -1), rule, absent)})


def found(whole: Panel, other: Panel | None, kind: Trial = Trial.CUT):
    right = {("t", ""): lambda: other} if other else {}
    (one,) = differences({("t", ""): lambda: whole}, right, horizon(kind), kind, "a trial")
    return one


def test_values_up_to_the_moment_are_compared() -> None:
    one = found(panel([1.0, 2.0, 3.0, 4.0]), panel([1.0, 2.0, 3.0, 9.0]))
    assert (one.compared, one.beyond) == (3, 0)
    assert found(panel([1.0, 2.0, 3.0, 4.0]), panel([1.0, 2.0, 3.5, 9.0])).worst == 0.5


def test_a_later_start_compares_from_its_full_history_on() -> None:
    one = found(panel([1.0, 2.0, 3.0, 4.0]), panel([9.0, 2.0, 3.0, 4.0]), Trial.START)
    assert (one.compared, one.beyond) == (3, 0)


def test_a_value_on_one_side_only_is_a_difference() -> None:
    one = found(panel([1.0, np.nan, 3.0, 4.0]), panel([1.0, 2.0, np.nan, 4.0]))
    assert (one.compared, one.beyond) == (3, 2)
    assert np.isnan(one.worst)
    assert (one.first.date, one.first.name, one.first.whole) == ("2024-03-05", "A", "missing")
    assert found(panel([1.0, 2.0, 3.0, 4.0]), None).beyond == 3
    shorter = panel([1.0, 2.0], moments=DAYS[:2])
    assert found(panel([1.0, 2.0, 3.0, 4.0]), shorter).beyond == 1


def test_rounding_is_counted_and_is_no_leak() -> None:
    one = found(panel([1.0, 2.0, 1e-12, 4.0]), panel([1.0 + 1e-15, 2.0, 2e-12, 4.0]))
    assert (one.rounding, one.beyond) == (2, 0)
    assert found(panel([1.0, 2.0, 3.0, 4.0]), panel([1.0 + 1e-7, 2.0, 3.0, 4.0])).beyond == 1


def test_names_that_one_side_lacks_stand_for_what_is_declared() -> None:
    both = panel([[1.0, 0.0]] * 4, names=("A", "B"), absent=0.0)
    assert found(both, panel([1.0] * 4, absent=0.0)).beyond == 0
    assert found(panel([[1.0, 0.0]] * 4, names=("A", "B")), panel([1.0] * 4)).beyond == 3


def test_the_first_offence_is_the_earliest_and_then_by_name() -> None:
    whole = panel([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]], names=("Z", "B"))
    other = panel([[1.0, 1.0], [5.0, 5.0], [9.0, 3.0], [4.0, 4.0]], names=("Z", "B"))
    one = found(whole, other)
    assert (one.first.date, one.first.name, one.worst) == ("2024-03-05", "B", 6.0)


def test_texts_are_compared() -> None:
    texts = np.array(["a", None, "c", "d"], dtype=object)
    other = np.array(["a", None, "x", "d"], dtype=object)
    one = found(panel(texts), panel(other))
    assert (one.compared, one.beyond, one.first.other) == (2, 1, "x")


@pytest.mark.parametrize(
    ("known", "compared"),
    [(Known.DAY, 3), (Known.BEFORE, 4), (Known.DAY_OVER, 2), (Known.NEXT_OPEN, 2), (Known.MONTH_OVER, 0)],
)
def test_what_is_known_later_is_compared_later(known: Known, compared: int) -> None:
    values = panel([1.0, 2.0, 3.0, 4.0], rule=(known, Needs.PRICES))
    assert found(values, values).compared == compared


def test_minutes_are_compared_up_to_the_moment() -> None:
    minutes = CUT + np.arange(-1, 3) * np.timedelta64(1, "m")
    rule = (Known.MINUTE, Needs.PRICES)
    one = found(panel([1.0] * 4, moments=minutes, rule=rule), panel([2.0] * 4, moments=minutes, rule=rule))
    assert (one.compared, one.first.date) == (2, "2024-03-06 12:59")
