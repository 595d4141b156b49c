"""The tables that a person reads: no mean without its n."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from autoseg.evaluation.lesions import LesionRules
from autoseg.evaluation.overview import format_table
from autoseg.evaluation.score import make_header
from autoseg.evaluation.summary import summarise
from autoseg.labels import Labels
from autoseg.records import to_json
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, REF_EMPTY, SKIPPED, Value
from tests.evaluation.scores import case

LABELS = Labels({"a": (1,), "b": (2,)})


def example():
    cases = [
        case("patient, 1", a=0.9, b=0.8),
        case("patient 2", a=0.7, b=PRED_EMPTY),
        case("healthy", ("control",), a=REF_EMPTY, b=BOTH_EMPTY),
    ]
    return summarise(cases, LABELS, make_header(LABELS))


def missed():
    cases = [case("1", a=0.9, b=0.8), case("2", a=0.7, b=PRED_EMPTY)]
    return summarise(cases, LABELS, make_header(LABELS))


def score_rows(text):
    """Yield (heading, cells) of each row of each table with means; cells are two spaces apart."""
    head = []
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if cells[0] in ("target", "in no reference"):
            head = cells
        elif len(cells) == len(head) > 1:
            yield head, dict(zip(head, cells, strict=True))
        else:
            head = []


@pytest.mark.parametrize("summary", [example(), missed()])
def test_no_mean_is_shown_without_its_n(summary):
    rows = list(score_rows(format_table(summary)))
    assert len(rows) >= 4
    for head, cells in rows:
        assert head[1] == "n", head
        assert re.fullmatch(r"\d+( of \d+)?( targets)?", cells["n"]), cells


def test_a_target_that_a_source_never_annotated_has_no_false_positives_there():
    cases = [case("a", ("pku",), a=0.9, b=0.8), case("b", ("a1k",), a=0.7, b=SKIPPED),
             case("c", ("a1k",), a=REF_EMPTY, b=SKIPPED), case("d", ("old",), a=0.5, b=SKIPPED),
             case("e", ("old",), a=0.5, b=REF_EMPTY)]  # fmt: skip
    text = format_table(summarise(cases, LABELS, make_header(LABELS)))
    rows = [cells for head, cells in score_rows(text) if head[0] == "in no reference"]
    assert [(row["in no reference"], row["n"]) for row in rows] == [("b", "1")]
    assert "a1k (2 cases)" in text


def test_a_mean_over_fewer_cases_than_its_row_says_how_many():
    text = format_table(missed())
    rows = {cells["target"]: cells for head, cells in score_rows(text) if "Dice" in head}
    assert rows["b"]["n"] == "2"
    assert rows["b"]["Dice"] == "0.4000"
    assert rows["b"]["HD95 mm"] == "2.00 (n=1)"
    assert rows["a"]["HD95 mm"] == "2.00"
    assert rows["mean of targets"]["n"] == "2 targets"
    assert rows["mean within cases"]["n"] == "2"


def test_the_penalised_mean_stands_beside_the_plain_one_where_something_was_missed():
    text = format_table(missed())
    assert re.search(r"HD95 mm  penalised +ASSD mm  penalised", text)
    assert re.search(r"^b .* 2\.00 \(n=1\) +51\.00 +2\.00 \(n=1\) +51\.00$", text, re.MULTILINE)
    assert "  b: 1 scored, 1 missed" in text or "  b: 1 missed, 1 scored" in text
    fine = summarise([case("1", a=0.9)], Labels({"a": (1,)}))
    assert "penalised" not in format_table(fine)


def test_the_settings_that_every_number_depends_on_stand_above():
    assert format_table(missed()).startswith(
        "2 cases; surfaces: surfel; NSD within 2 mm (default)\n"
    )


def test_cases_of_fewer_patients_are_said_so():
    cases = [replace(case(name, a=0.9), group="p") for name in "12"]
    text = format_table(summarise(cases, Labels({"a": (1,)})))
    assert text.startswith("2 cases of 1 patient;")


def test_controls_are_shown_by_their_false_positives():
    text = format_table(example())
    assert "without a tag (2 cases)" in text
    assert "control (1 case)" in text
    rows = [cells for head, cells in score_rows(text) if head[0] == "in no reference"]
    assert [row["in no reference"] for row in rows] == ["a", "b"]
    assert rows[0]["with false positives"] == "1"
    assert (rows[0]["mean ml"], rows[0]["of case"], rows[0]["mean voxels"]) == (
        "0.04", "healthy", "40.0",
    )  # fmt: skip
    assert (rows[1]["mean ml"], rows[1]["of case"]) == ("0", "-")
    assert "all cases (3)" in text


def test_the_lowest_values_are_shown_with_their_files():
    cases = [replace(case("1", a=0.9), prediction_file="pred/1.nii.gz"), case("2", a=0.95)]
    text = format_table(summarise(cases, Labels({"a": (1,)})))
    assert re.search(r"^lowest Dice\n.*\n1 +a +0\.9000  pred/1\.nii\.gz$", text, re.MULTILINE)
    assert "lowest" not in format_table(summarise(cases, Labels({"a": (1,)})), "markdown")


def test_metrics_that_were_asked_for_have_lines_of_their_own():
    cases = []
    for i, value in enumerate((0.25, 0.5, None)):
        plain = case(str(i), a=0.9)
        more = {**plain.metrics["a"], "lesion_f1": Value(value), "path_mm": Value(4.0)}
        cases.append(replace(plain, metrics={"a": more}))
    text = format_table(summarise(cases, Labels({"a": (1,)})))
    assert re.search(r"^a +lesion_f1 +2 of 3 +0\.3750 ", text, re.MULTILINE)
    assert re.search(r"^a +path_mm +3 +4\.00 ", text, re.MULTILINE)
    assert "further metrics" not in format_table(missed())


def test_the_rules_that_lesions_were_counted_by_are_told():
    plain = case("1", a=0.9)
    plain = replace(plain, metrics={"a": {**plain.metrics["a"], "lesion_f1": Value(0.5)}})
    for rules, said in {
        LesionRules(): "found that overlap at all; sq, rq, pq: by IoU > 0.5",
        LesionRules(10.0, 0.1, preset="autopet"): "by IoU > 0.5; below 10 mm3 left out; preset au",
    }.items():
        for header in ({"lesions": rules}, {"lesions": to_json(rules)}):
            assert said in format_table(summarise([plain], Labels({"a": (1,)}), header))


def test_a_grid_that_nothing_was_resampled_to_is_no_row():
    plain = case("1", a=0.9)
    more = {**plain.metrics["a"], "cldice": Value(0.5), "cldice_grid_mm": Value(None)}
    text = format_table(summarise([replace(plain, metrics={"a": more})], Labels({"a": (1,)})))
    assert "cldice " in text
    assert "cldice_grid_mm" not in text


@pytest.mark.parametrize(
    ("file", "spacing", "said"),
    [("g/a.PNG", 1.0, True), ("g/a.png", 0.5, False), ("g/a.nii.gz", 1.0, False)],
)
def test_millimetres_of_pictures_without_a_size_are_said_to_be_pixels(file, spacing, said):
    flat = replace(case("a", a=0.9), reference_file=file, spacing=(1.0, spacing, spacing))
    text = format_table(summarise([flat], Labels({"a": (1,)})))
    assert ("a pixel counts as 1 mm" in text) is said


def test_volumes_of_many_targets_stay_in_the_files():
    labels = Labels({f"t{i}": (i + 1,) for i in range(21)})
    cases = [case(str(i), **dict.fromkeys(labels.names, 0.9)) for i in range(3)]
    many = summarise(cases, labels)
    assert "volumes" not in format_table(many)
    assert "volumes" in format_table(many, "markdown")
    assert "volumes" in format_table(missed())


def test_few_patients_are_spoken_of():
    few = summarise([case(str(i), a=0.9) for i in range(4)], Labels({"a": (1,)}))
    assert "no interval where n is small (4 patients, fewer than 5)" in format_table(few)
    some = summarise([case(str(i), a=0.9 + i / 100) for i in range(6)], Labels({"a": (1,)}))
    assert "with fewer than 20 patients the intervals are too narrow" in format_table(some)


def test_an_incomplete_evaluation_shows_no_means():
    table = format_table(summarise([case("1", a=0.9)], Labels({"a": (1,)}), {}, {"2": "gone"}))
    assert "no means: the evaluation is incomplete" in table
    assert "failed: 2: gone" in table
    assert "0.9" not in table


def test_absent_targets_are_named():
    table = format_table(summarise([case("1", a=0.9, b=BOTH_EMPTY)], LABELS, {}))
    assert "in no reference: b" in table


def test_nothing_to_summarise_is_no_mistake():
    assert format_table(summarise([], LABELS, {})).startswith("0 cases")
