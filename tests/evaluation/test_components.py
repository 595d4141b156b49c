"""Component tables: what is counted is what happens."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.evaluation.components import count, counts_with, counts_without, tabulate
from autoseg.labels import Labels
from autoseg.postprocess import apply_rules
from autoseg.rules import ALL, Rule

EXCLUSIVE = Labels({"liver": (1,), "spleen": (2,)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})
WITH_IGNORE = Labels({"liver": (1,), "spleen": (2,)}, ignore=9)
SPACING = (2.0, 1.0, 0.5)  # 1 mm3 a voxel


def line(*values):
    return np.array(values, dtype=np.uint8).reshape(1, 1, -1)


def test_dice_by_hand():
    table = tabulate("x", line(1, 1, 1, 0, 2, 0), line(1, 1, 0, 0, 2, 2), SPACING, EXCLUSIVE)
    assert table.counts.predicted.tolist() == [3, 1]
    assert table.counts.dice().tolist() == pytest.approx([4 / 5, 2 / 3])


def test_both_empty_is_not_a_number_and_one_empty_is_zero():
    table = tabulate("x", line(1, 0, 0), line(0, 0, 0), SPACING, EXCLUSIVE)
    assert table.counts.dice()[0] == 0
    assert np.isnan(table.counts.dice()[1])
    nothing = tabulate("x", line(0, 0), line(0, 0), SPACING, EXCLUSIVE)
    assert np.isnan(nothing.counts.dice()).all()


def test_the_components_of_a_case_by_hand():
    found = line(1, 1, 1, 0, 1, 2, 0, 2)
    table = tabulate("x", found, line(1, 1, 0, 0, 0, 2, 0, 0), SPACING, EXCLUSIVE)
    liver, every = table.components["liver"], table.components[ALL]
    assert liver.mm3.tolist() == [3, 1]
    assert liver.predicted[:, 0].tolist() == [3, 1]
    assert liver.both[:, 0].tolist() == [2, 0]
    assert every.mm3.tolist() == [3, 2, 1]
    assert every.predicted.tolist() == [[3, 0], [1, 1], [0, 1]]
    assert every.both.tolist() == [[2, 0], [0, 1], [0, 0]]
    after = counts_without(table, "liver", Rule("largest_component"))
    assert after.dice().tolist() == pytest.approx([4 / 5, 2 / 3])
    after = counts_without(table, ALL, Rule("min_component", 2.0))
    assert after.dice().tolist() == pytest.approx([4 / 6, 1.0])


def test_removing_a_kidney_removes_its_tumour_but_not_the_other_way():
    found = line(1, 2, 1, 0, 2)
    table = tabulate("x", found, line(1, 1, 1, 0, 0), SPACING, REGIONS)
    assert table.components["kidney"].targets == (0, 1)
    assert table.components["tumour"].targets == (1,)
    after = counts_without(table, "kidney", Rule("largest_component"))
    assert after.predicted.tolist() == [3, 1]
    after = counts_without(table, "tumour", Rule("min_component", 5.0))
    assert after.predicted.tolist() == [4, 0]


def test_ignored_voxels_and_targets_that_are_not_annotated_are_not_counted():
    table = tabulate("x", line(1, 1, 2), line(1, 9, 2), SPACING, WITH_IGNORE, ("liver",))
    assert table.counts.predicted[0] == 1
    assert table.components["liver"].predicted[:, 0].tolist() == [1]
    assert table.components["liver"].mm3.tolist() == [2]  # its size is what predict will see
    assert np.isnan(table.counts.dice()[1])


COMPONENTS = (Rule("largest_component"), Rule("min_component", 2.0), Rule("min_component", 9.0))
OTHERS = (Rule("fill_holes"), Rule("closing", 1.0), Rule("opening", 0.5))


def random_maps(seed, labels):
    rng = np.random.default_rng(seed)
    shape = (5, 12, 11)
    values = np.array([0, 0, 0, *labels.values], dtype=np.uint8)
    found, truth = (rng.choice(values, shape) for _ in range(2))
    return found, np.where(rng.random(shape) < 0.5, truth, found)


@pytest.mark.parametrize("labels", [EXCLUSIVE, REGIONS], ids=["exclusive", "regions"])
@pytest.mark.parametrize(
    ("scope", "rule"),
    [(scope, rule) for scope in (ALL, 0, 1) for rule in COMPONENTS]
    + [(scope, rule) for scope in (0, 1) for rule in OTHERS],
    ids=str,
)
def test_counting_gives_what_applying_gives(labels, scope, rule):
    scope = scope if scope == ALL else labels.names[scope]
    for seed in range(3):
        found, truth = random_maps(seed, labels)
        table = tabulate("x", found, truth, SPACING, labels)
        applied = apply_rules(found, SPACING, labels, {scope: (rule,)})
        true = count(labels.encode(applied), labels.encode(truth), labels)
        tried = [counts_with(found, truth, SPACING, labels, table.counts, scope, rule)]
        if rule in COMPONENTS:
            tried.append(counts_without(table, scope, rule))
        for counts in tried:
            assert counts.predicted.tolist() == true.predicted.tolist()
            assert counts.both.tolist() == true.both.tolist()
            assert counts.reference.tolist() == true.reference.tolist()
