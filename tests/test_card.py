"""What a model card knows: the author's texts, the range of the data, numbers with their n."""

from __future__ import annotations

from autoseg.card import (
    About,
    ModelCard,
    Results,
    Score,
    TrainingData,
    about_from,
    merge,
    results_of,
    training_data,
)
from autoseg.plan import Fingerprint, IntensityStats
from autoseg.results import Mean, Summary

THREE = ((1.0, 1.0, 1.0),) * 3


def make_fingerprint() -> Fingerprint:
    return Fingerprint(
        cases=("smith", "jones", "doe"),
        spacings=((2.0, 1.0, 1.0), (3.0, 0.5, 0.5), (4.0, 0.7, 0.7)),
        shapes=((10, 100, 90), (20, 200, 200), (5, 100, 100)),
        kept_fraction=1.0,
        channels=("CT",),
        intensities=(IntensityStats(0, 1, 0, 0, 0, 0),),
        target_volumes_ml={},
    )


def test_texts_of_dataset_json_are_taken_over_in_both_spellings():
    found = about_from({"license": " CC BY 4.0 ", "citation": "Doe 2020", "intended_use": "tests"})
    assert found == About(licence="CC BY 4.0", reference="Doe 2020", intended_use="tests")
    assert about_from({"licence": 7, "name": "x"}) == about_from([]) == About()


def test_ranges_are_smallest_median_largest_and_no_case_is_named():
    data = training_data(make_fingerprint())
    assert data.cases == 3
    assert data.spacing_mm == ((2.0, 3.0, 4.0), (0.5, 0.7, 1.0), (0.5, 0.7, 1.0))
    assert data.extent_mm[0] == (20.0, 20.0, 60.0)
    assert "smith" not in repr(data)


def test_results_keep_n_and_interval_but_not_the_worst_case():
    mean = Mean(0.8, 3, 4, 0.6, ci95=(0.7, 0.9), minimum_case="smith")
    summary = Summary(
        (), {"liver": {"dice": mean, "assd": mean}}, {"dice": mean}, {"mode": "surfel"}
    )
    results = results_of(summary, ("0", "1"))
    assert results.targets == {"liver": {"dice": Score(0.8, 3, 4, (0.7, 0.9), 0.6)}}
    assert (results.folds, results.mode) == (("0", "1"), "surfel")
    assert "smith" not in repr(results)


def test_what_stands_in_the_card_by_hand_stays():
    old = ModelCard(About(licence="mine"), None, Results(("0",), 1, {}, {}))
    new = ModelCard(About(licence="theirs", author="A"), TrainingData(3, THREE, THREE))
    merged = merge(old, new)
    assert merged.about == About(licence="mine", author="A")
    assert (merged.data, merged.results) == (new.data, old.results)
