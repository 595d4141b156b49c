"""The search for rules, on label maps where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.evaluation import measured
from autoseg.evaluation import rules as module
from autoseg.evaluation.measured import Measured, PredictedCase
from autoseg.evaluation.rules import component_candidates, search_rules
from autoseg.files import write_atomically
from autoseg.labels import Labels
from autoseg.postprocess import apply_rules
from autoseg.preprocessing.native import write_native
from autoseg.preprocessing.npz import write_npz
from autoseg.rules import ALL, Rule

LABELS = Labels({"liver": (1,), "spleen": (2,)})
SHAPE = (8, 16, 16)


def organs():
    label_map = np.zeros(SHAPE, dtype=np.uint8)
    label_map[2:6, 2:8, 2:8] = 1
    label_map[2:6, 2:8, 10:14] = 2
    return label_map


def write(folder: Path, maps, labels=LABELS, annotated=None) -> Measured:
    """Write pairs (prediction, reference) and return what measures them."""
    cases = []
    for number, (found, truth) in enumerate(maps):
        name, path = f"case_{number}", folder / f"case_{number}.npz"
        write_atomically(path, lambda s, f=found: write_npz(s, {"labels": f}, compress=True))
        write_native(folder, name, truth)
        cases.append(PredictedCase(name, path, folder, (1.0, 1.0, 1.0), annotated))
    return Measured(tuple(cases), labels)


def every(data: Measured) -> frozenset[str]:
    return frozenset(case.id for case in data.cases)


def with_specks(value=1):
    label_map = organs()
    label_map[0, 12:14, 3:9] = value
    return label_map


def test_a_second_component_of_one_target_is_removed(tmp_path):
    data = write(tmp_path, [(with_specks(), organs()), (organs(), organs())])
    rules, trials = search_rules(data, every(data))
    # Together the organs are two components: keeping the largest would lose the spleen.
    assert rules == {"liver": (Rule("largest_component"),)}
    adopted = next(trial for trial in trials if trial.adopted)
    n, false = 144, 12
    assert adopted.before["liver"] == pytest.approx((2 * n / (2 * n + false) + 1) / 2)
    assert adopted.after["liver"] == 1
    assert adopted.before["spleen"] == adopted.after["spleen"] == 1
    assert adopted.n == {"liver": 2, "spleen": 2}
    assert next(trial.scope for trial in trials if not trial.adopted) == ALL


def test_where_two_components_are_right_only_small_ones_go(tmp_path):
    truth = organs()
    truth[0, 12:15, 2:14] = 1  # 36 voxels that belong to it
    found = truth.copy()
    found[7, 0, 0:4] = 1
    data = write(tmp_path, [(found, truth)] * 2)
    rules, _ = search_rules(data, every(data))
    assert rules == {"liver": (Rule("min_component", 12.0),)}  # half-way of 4 and 36: their root


def test_a_rule_that_harms_another_target_is_not_adopted(tmp_path):
    labels = Labels({"kidney": (1, 2), "tumour": (2,)})
    truth = np.zeros(SHAPE, dtype=np.uint8)
    truth[2:6, 2:8, 2:8] = 1
    truth[0, 12:14, 2:14] = 2  # a tumour in a kidney that was missed: it goes with its component
    found = truth.copy()
    found[7, 12:16, 2:14] = 1  # and a large false kidney
    data = write(tmp_path, [(found, truth)], labels)
    rules, trials = search_rules(data, every(data))
    for scope in rules:
        assert scope != "kidney" or rules[scope] != (Rule("largest_component"),)
    before, after = trials[0].before, trials[0].after
    assert not trials[0].adopted or after["tumour"] >= before["tumour"]
    applied = apply_rules(found, (1.0, 1.0, 1.0), labels, rules)
    assert (applied[0] == 2).any()


def test_holes_are_filled_when_no_component_rule_is_needed(tmp_path):
    found = organs()
    found[3:5, 4:6, 4:6] = 0
    data = write(tmp_path, [(found, organs())])
    rules, _ = search_rules(data, every(data))
    assert rules == {"liver": (Rule("fill_holes"),)}


def test_a_crack_is_closed(tmp_path):
    found = organs()
    found[2:6, 2:8, 5] = 0
    found[2:6, 2:8, 12] = 0
    data = write(tmp_path, [(found, organs())])
    rules, _ = search_rules(data, every(data))
    assert rules == {"liver": (Rule("closing", 1.0),), "spleen": (Rule("closing", 1.0),)}


def test_nothing_is_adopted_for_less_than_the_margin(tmp_path):
    found = organs()
    found[7, 15, 15] = 1  # one voxel: 2 x 144 / 289 = 0.9965 in one of five cases
    data = write(tmp_path, [(found, organs())] + [(organs(), organs())] * 4)
    rules, trials = search_rules(data, every(data))
    assert rules == {}
    assert trials
    assert all(not trial.adopted for trial in trials)


def test_only_the_cases_that_have_a_say_are_judged(tmp_path):
    data = write(tmp_path, [(with_specks(), organs()), (organs(), organs())])
    assert search_rules(data, frozenset({"case_1"}))[0] == {}


def test_a_false_alarm_that_disappears_is_no_harm(tmp_path):
    control = np.zeros(SHAPE, dtype=np.uint8)
    false = control.copy()
    false[0, 0, 0:3] = 1
    labels = Labels({"liver": (1,)})
    truth = np.where(organs() == 1, 1, 0).astype(np.uint8)
    data = write(tmp_path, [(false, control), (truth, truth)], labels)
    rules, trials = search_rules(data, every(data))
    assert [rule.name for rule in rules["liver"]] == ["min_component"]
    assert (trials[0].before["liver"], trials[0].after["liver"]) == (0.5, 1.0)


def test_targets_that_are_not_annotated_have_no_say(tmp_path):
    data = write(tmp_path, [(with_specks(), organs())], annotated=("spleen",))
    assert search_rules(data, every(data))[0] == {}


def test_label_maps_are_read_once_while_nothing_is_adopted(tmp_path, monkeypatch):
    data = write(tmp_path, [(organs(), organs())] * 3)
    reads = []
    honest = measured.read_prediction
    monkeypatch.setattr(measured, "read_prediction", lambda p: reads.append(p) or honest(p))
    search_rules(data, every(data))
    search_rules(data, frozenset({"case_0", "case_1"}))
    assert len(reads) == 3 * 3  # components, holes, balls; the second search reads nothing


def test_another_threshold_is_tried_where_scores_were_kept(tmp_path):
    labels = Labels({"kidney": (1, 2), "tumour": (2,)})
    truth = np.where(organs() > 0, 1, 0).astype(np.uint8)
    truth[3:5, 3:6, 3:6] = 2  # the network gives it a probability of 0.45

    def decode(case, limits):
        found = truth.copy()
        if limits[1] > 0.45:
            found[found == 2] = 1
        if limits[0] < 0.5:
            found[0] = 1  # a kidney all over the first slice
        return found

    data = write(tmp_path, [(decode("", (0.5, 0.5)), truth)], labels)
    assert search_rules(data, every(data))[0] == {}
    data = Measured(data.cases, labels, decode=decode)
    rules, trials = search_rules(data, every(data))
    assert rules == {"tumour": (Rule("threshold", 0.4),)}  # of two that help, the one named first
    assert (trials[1].before["tumour"], trials[1].after["tumour"]) == (0, 1)


def test_rules_of_exclusive_targets_are_measured_in_one_pass(tmp_path, monkeypatch):
    found = with_specks()
    found[0, 0, 0:12] = 2
    data = write(tmp_path, [(found, organs())])
    reads = []
    honest = measured.read_prediction
    monkeypatch.setattr(measured, "read_prediction", lambda p: reads.append(p) or honest(p))
    rules, _ = search_rules(data, every(data))
    assert set(rules) == {"liver", "spleen"}
    assert len(reads) == 4  # components, again with both rules, holes, balls


def test_rules_that_only_work_alone_are_taken_one_by_one(tmp_path, monkeypatch):
    data = write(tmp_path, [(with_specks(), organs())])
    asked = []
    honest = module._adopt

    def watch(*arguments, **named):
        asked.append(named.get("together", arguments[-1]))
        return honest(*arguments, **named)

    monkeypatch.setattr(module, "_adopt", watch)
    monkeypatch.setattr(module, "_is_worse", lambda data, rules, found, among: found != rules)
    search_rules(data, every(data))
    assert asked.count(False) == 1


def test_few_sizes_are_tried_of_many(tmp_path):
    found = np.zeros((1, 2, 4000), dtype=np.uint8)
    for size in range(1, 60):
        found[0, 0, size * 62 : size * 62 + size] = 1
    data = write(tmp_path, [(found, found)], Labels({"liver": (1,)}))
    candidates = component_candidates(data.tables({}), "liver")
    assert len(candidates) == 1 + module.MOST_SIZES
    assert candidates[0] == Rule("largest_component")
    assert candidates[1] == Rule("min_component", 1.41)
