"""Charts as SVG: where numbers lie, and that nothing of the data breaks the drawing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from autoseg.report.axes import Axis, padded, round_step
from autoseg.report.charts import (
    distributions,
    line_chart,
    quantile,
    ranking,
    scatter,
    shortened,
    spread,
)


def test_an_axis_lays_numbers_between_its_ends():
    axis = Axis(10, 20, 100, 300)
    assert [axis.place(value) for value in (10, 15, 20, 99)] == [100, 200, 300, 300]
    assert axis.ticks() == [10, 12, 14, 16, 18, 20]
    log = Axis(0.1, 100, 0, 300, log=True)
    assert log.place(1) == pytest.approx(100)
    assert log.ticks() == pytest.approx([0.1, 1, 10, 100])
    assert Axis(1, 3, 0, 300, whole=True).ticks() == [1, 2, 3]
    assert Axis(1, 3, 0, 300).ticks() == [1, 1.5, 2, 2.5, 3]


@pytest.mark.parametrize(("rough", "step"), [(0.03, 0.05), (0.2, 0.2), (7, 10), (130, 200), (0, 1)])
def test_steps_are_round(rough, step):
    assert round_step(rough) == pytest.approx(step)


def test_names_at_the_ends_of_curves_do_not_overlap():
    assert spread([50, 52, 10], 14, 100) == [50, 64, 10]
    assert spread([50, 52, 10], 14, 60) == [46, 60, 10]


def test_quantiles_are_numpys():
    assert quantile([1, 2, 4], 0.25) == 1.5
    assert quantile([7], 0.9) == 7


def test_whole_decades_hold_all_values_of_a_logarithmic_axis():
    assert padded([0.3, 40], log=True) == pytest.approx((0.1, 100))
    assert padded([10, 10], log=True) == pytest.approx((10, 100))


CHARTS = {
    "curves": line_chart({"<a&b>": [(1, 2), (2, 3)], "none": []}, "epoch", "loss"),
    "no curve": line_chart({}, "epoch", "loss"),
    "one point": line_chart({"a": [(1, 2)]}, "epoch", "loss"),
    "points": scatter([(1, 2, "<x>", 0)], "IoU", "Dice"),
    "no point": scatter([], "IoU", "Dice"),
    "rows": distributions({"<liver>": {"a": 1, "b": 2}, "empty": {}}, "ml", log=True),
    "ranks": ranking([("<liver>", 0.9, (0.8, 0.95), 5), ("x", 0.1, None, 1)], "Dice", (0, 1)),
}


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_a_chart_is_well_formed_and_holds_no_number_that_is_none(chart):
    ElementTree.fromstring(chart)
    assert not re.search(r"\bnan\b|\binf\b", chart)


def test_a_row_tells_median_and_n_and_each_point_its_name():
    chart = distributions({"liver": {"a": 1.0, "b": 2.0, "c": 6.0}}, "ml")
    assert ">2<tspan" in chart
    assert "n 3" in chart
    assert "<title>c: 6</title>" in chart
    assert "p25 1.5, p75 4" in chart


def test_a_long_name_keeps_both_ends_and_wide_letters_take_their_room():
    assert shortened("liver", 60) == "liver"
    assert shortened("vertebrae_of_the_neck_012", 90) == "verteb…k_012"
    assert shortened("肝臓の腫瘍転移性", 60) == "肝臓…移性"
    curves = {"vertebrae_of_the_neck_and_back_right_012": [(0.0, 1.0), (1.0, 2.0)]}
    drawn = line_chart(curves, "epoch", "Dice")
    assert ">vertebrae_of_the…d_back_right_012</text>" in drawn
    assert "<title>vertebrae_of_the_neck_and_back_right_012: 2" in drawn


def test_points_of_many_cases_leave_their_box_to_be_seen():
    few, many = ({f"c{n}": n / 200 for n in range(count)} for count in (100, 101))
    assert "faint" not in distributions({"a": few}, "Dice")
    assert '<g class="faint"><circle' in distributions({"a": many}, "Dice")
