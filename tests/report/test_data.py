"""The chapter of the data: what the plan's fingerprint knows, and what statistics add."""

from __future__ import annotations

import re

from autoseg.plan import Fingerprint, IntensityStats
from autoseg.report.anonymous import anonymise
from autoseg.report.cases import to_draw
from autoseg.report.data import about_data
from autoseg.report.material import Material
from autoseg.results import CaseStatistics, DatasetStatistics, TargetInCase, TargetStatistics

CASES = tuple(f"c{n}" for n in range(9))
FINGERPRINT = Fingerprint(
    cases=CASES,
    spacings=((2.0, 1.0, 0.5),) * 8 + ((5.0, 1.0, 0.5),),
    shapes=tuple((10 + n, 30, 40) for n in range(9)),
    kept_fraction=0.25,
    channels=("CT",),
    intensities=(IntensityStats(40.0, 11.0, -5.0, 90.0, -100.0, 200.0),),
    target_volumes_ml={"liver": (0.0, *(1500.0 + n for n in range(8)))},
    warnings=("c0 is dark",),
)


def text(html: str) -> str:
    return re.sub(r"(?:<[^>]+>)+", "|", html)


def test_what_was_planned_with_is_told_without_statistics():
    told = text(about_data(Material("D", fingerprint=FINGERPRINT)).body)
    assert "9 cases, channel CT, 1 target." in told
    assert "Cropping to what is not zero keeps 25 % of a scan." in told
    assert "|voxels Z|10|14|18|" in told
    assert "|mm per voxel X|0.5|0.5|0.5|" in told
    assert "|liver|8 of 9|1500|1504|1507|" in told
    assert "|CT|40|11|-100|-5|90|200|" in told
    assert "|c8|spacing Z 5 mm (median 2)|" in told
    assert "Intensities of each target: run autoseg statistics -d D." in told
    assert to_draw(Material("D", fingerprint=FINGERPRINT)) == ["c8"]


def test_statistics_take_its_place_where_they_know_more():
    target = TargetInCase(5, 7.0, 1, {})
    case = CaseStatistics("a", (9, 8, 7), (3.0, 1.0, 1.0), 9, 504, {}, {"liver": target})
    over = {"liver": TargetStatistics(1, 1, 5, 0.01, 1, 9, None, {})}
    none = (None,) * 3
    found = DatasetStatistics("D", ("CT",), {"liver": (1,)}, (case,), none, none, None, over)
    told = text(about_data(Material("D", statistics=found, fingerprint=FINGERPRINT)).body)
    assert "1 case, channel CT, 1 target." in told
    assert "|voxels Z|9|9|9|" in told
    assert "Size of each scan, as stored." in told
    assert "|liver|1 of 1|1 of 9|1.000 %|" in told
    assert "|CT|40|11|-100|-5|90|200|" in told
    assert "run autoseg statistics" not in told


def test_the_cases_of_a_fingerprint_have_no_names_on_an_anonymous_page():
    told = text(about_data(anonymise(Material("D", fingerprint=FINGERPRINT))).body)
    assert not re.search(r"\bc\d\b", told)
    assert re.search(r"\|case \d\|spacing Z 5 mm", told)


def test_without_either_it_says_what_to_run():
    told = text(about_data(Material("D")).body)
    assert "Sizes, volumes and intensities: run autoseg statistics -d D." in told
