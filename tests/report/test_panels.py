"""Figures of many rows."""

from __future__ import annotations

import re

from autoseg.report.panels import ROWS, distribution_figures


def test_many_rows_are_dealt_to_figures_of_one_length_and_one_axis():
    rows = {f"t{n}": {"a": float(n + 1), "b": 2.0} for n in range(2 * ROWS + 1)}
    made = distribution_figures(rows, "ml", "Volumes.", log=True)
    assert [len(re.findall("<rect", chart)) for chart in made] == [21, 21, 19]
    assert all("Volumes." in chart for chart in made)
    numbers = [re.findall(r'text-anchor="middle">([\d.]+)<', chart) for chart in made]
    assert numbers == [["1", "10", "100"]] * 3


def test_few_rows_or_none_are_one_figure():
    assert len(distribution_figures({"a": {"x": 1.0}}, "ml", "Volumes.")) == 1
    assert len(distribution_figures({}, "ml", "Volumes.", log=True)) == 1
