"""Rules change their target and nothing else: values by hand."""

from __future__ import annotations

import numpy as np

from autoseg.labels import Labels
from autoseg.postprocess import addition_table, apply_rules, removal_table
from autoseg.rules import ALL, Rule, in_order

ONE_MM = (1.0, 1.0, 1.0)
EXCLUSIVE = Labels({"liver": (1,), "spleen": (2,)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})


def boxes(shape, *corners):
    """A mask with a box for each ((z, y, x), (z, y, x)), half-open."""
    mask = np.zeros(shape, dtype=bool)
    for start, stop in corners:
        mask[tuple(map(slice, start, stop))] = True
    return mask


def test_what_is_removed_falls_back_to_what_it_still_is():
    assert removal_table(EXCLUSIVE, "liver").tolist() == [0, 0, 2]
    assert removal_table(REGIONS, "tumour").tolist() == [0, 1, 1]
    assert removal_table(REGIONS, "kidney").tolist() == [0, 0, 0]
    assert removal_table(REGIONS, ALL).tolist() == [0, 0, 0]


def test_what_is_added_takes_background_but_no_other_target():
    assert addition_table(EXCLUSIVE, "liver").tolist() == [1, 1, 2]
    assert addition_table(REGIONS, "tumour").tolist() == [2, 2, 2]
    assert addition_table(REGIONS, "kidney").tolist() == [1, 1, 2]


def test_rules_change_only_their_target_and_not_the_input():
    label_map = np.zeros((1, 3, 9), dtype=np.uint8)
    label_map[0, 1, [0, 1, 2, 5]] = 1
    label_map[0, 1, [3, 7]] = 2
    before = label_map.copy()
    found = apply_rules(label_map, ONE_MM, EXCLUSIVE, {"liver": (Rule("largest_component"),)})
    assert found[0, 1].tolist() == [1, 1, 1, 2, 0, 0, 0, 2, 0]
    assert found.dtype == np.uint8
    assert np.array_equal(label_map, before)
    assert apply_rules(label_map, ONE_MM, EXCLUSIVE, {}) is label_map


def test_all_targets_together_are_one_component():
    label_map = np.zeros((1, 1, 9), dtype=np.uint8)
    label_map[0, 0] = [1, 1, 2, 2, 0, 1, 1, 1, 0]
    rules = {ALL: (Rule("largest_component"),)}
    assert apply_rules(label_map, ONE_MM, EXCLUSIVE, rules)[0, 0].tolist() == [1, 1, 2, 2] + [0] * 5


def test_a_small_tumour_becomes_kidney():
    label_map = np.zeros((1, 1, 9), dtype=np.uint8)
    label_map[0, 0] = [0, 1, 2, 1, 1, 2, 2, 2, 0]
    rules = {"tumour": (Rule("min_component", 2.0),)}
    assert apply_rules(label_map, ONE_MM, REGIONS, rules)[0, 0].tolist() == [
        0, 1, 1, 1, 1, 2, 2, 2, 0,
    ]  # fmt: skip


def test_a_hole_filled_with_another_target_is_left_to_it():
    label_map = np.zeros((1, 5, 5), dtype=np.uint8)
    label_map[0] = 1
    label_map[0, 2, 1:4] = [2, 0, 2]
    filled = apply_rules(label_map, ONE_MM, EXCLUSIVE, {"liver": (Rule("fill_holes"),)})
    assert filled[0, 2].tolist() == [1, 2, 1, 2, 1]


def test_the_order_is_that_of_the_stages_not_of_the_mapping():
    rules = {
        "spleen": (Rule("closing", 1.0), Rule("largest_component")),
        "liver": (Rule("fill_holes"),),
        ALL: (Rule("min_component", 5.0),),
    }
    steps = [f"{scope} {rule}" for scope, rule in in_order(rules, EXCLUSIVE)]
    assert steps == [
        "* min component 5 mm3", "spleen largest component", "liver fill holes",
        "spleen closing 1 mm",
    ]  # fmt: skip
