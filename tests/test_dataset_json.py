"""dataset.json in nnU-Net's and MSD's spelling; every mistake reported at once."""

import pytest

from autoseg.dataset_json import CaseEntry, parse_declaration

GOOD = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}


def parse(**changes):
    return parse_declaration({**GOOD, **changes}, "dataset.json")


def test_nnunet_and_msd_say_the_same():
    ours, problems, warnings = parse(file_ending=".nii.gz", numTraining=3)
    msd = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}, "relase": "1"}
    theirs, _, _ = parse_declaration(msd, "dataset.json")
    assert (problems, warnings) == ([], [])
    assert ours.labels.targets == theirs.labels.targets == {"liver": (1,)}
    assert ours.channels == theirs.channels == ("CT",)


def test_regions_are_written_with_the_value_of_their_order():
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 9}
    declaration, problems, _ = parse(labels=labels, regions_class_order=[1, 2, 3])
    assert problems == []
    assert declaration.labels.targets == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    declaration, _, _ = parse(labels=labels, regions_class_order=[2, 3, 3])
    assert declaration.labels.targets["whole"] == (2, 1, 3)
    assert declaration.labels.ignore == 9
    assert not declaration.labels.exclusive


def test_values_need_not_be_consecutive():
    declaration, _, _ = parse(labels={"background": 0, "a": 5, "b": 300})
    assert declaration.labels.values == (5, 300)


def test_our_own_keys_are_read():
    declaration, problems, warnings = parse(
        labels={"background": 0, "kidney_a": 1, "kidney_b": 2},
        nsd_tolerance_mm={"kidney_a": 3},
        pairs=[["kidney_a", "kidney_b"]],
        cases={
            "c1": {"group": "p1", "tags": ["site-A"], "annotated": ["kidney_a"], "source": "pku"},
            "c2": {},
        },
    )
    assert problems == warnings == []
    assert declaration.labels.pairs == (("kidney_a", "kidney_b"),)
    assert declaration.labels.nsd_tolerance_mm == {"kidney_a": 3}
    assert declaration.entries["c1"] == CaseEntry("p1", ("site-A", "pku"), ("kidney_a",))
    assert declaration.entries["c2"] == CaseEntry()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"labels": ["liver"]}, "labels is ['liver']"),
        ({"labels": {}}, "labels is {}"),
        ({"labels": {"liver": 1}}, "labels has no background with value 0"),
        ({"labels": {"background": 0}}, "labels declares nothing but background"),
        ({"labels": {"background": 0, "liver": "1"}}, "label 'liver' is '1'"),
        ({"labels": {"background": 0, "liver": True}}, "label 'liver' is True"),
        ({"labels": {"background": 0, "liver": -1}}, "label 'liver' has value -1"),
        ({"labels": {"background": 0, "liver": 70000}}, "label 'liver' has value 70000"),
        ({"labels": {"background": 0, "liver": [0, 1]}}, "label 'liver' contains 0"),
        ({"labels": {"background": 0, "a": [1, 2], "b": 2}}, "overlapping labels without"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "the label name 'a' stands for two"),
        ({"labels": {"background": 0, "a": 1, "ignore": 1}}, "label 'a' contains the ignored"),
        ({"labels": {"background": 0, "a": 1, "ignore": 0}}, "'ignore' is 0, which is background"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, "channels are numbered 0, 2"),
        ({"channel_names": {}}, "channel_names is {}"),
        ({"file_ending": 3}, "file_ending is 3"),
        ({"nsd_tolerance_mm": {"liver": -1}}, "nsd_tolerance_mm of 'liver' is -1"),
        ({"nsd_tolerance_mm": {"lever": 1}}, "nsd_tolerance_mm names 'lever'"),
        ({"pairs": [["liver", "spleen"]]}, "pairs names 'spleen'"),
        ({"cases": {"a": {"source": 3}}}, "cases.a.source is 3"),
        ({"cases": {"a": {"tags": "x"}}}, "cases.a: tags and annotated are lists"),
        ({"cases": {"a": {"annotated": ["lever"]}}}, "cases.a.annotated names 'lever'"),
        ({"dataset": {"a": {"images": "x"}}}, "dataset.a is"),
    ],
)
def test_each_mistake_is_named(changes, found):
    declaration, problems, _ = parse(**changes)
    assert declaration is None
    assert any(problem.found.startswith(found) for problem in problems), problems


def test_all_mistakes_come_at_once():
    _, problems, _ = parse_declaration({"labels": {"liver": -1}, "file_ending": 1}, "dataset.json")
    assert len(problems) == 4


def test_the_order_of_regions_must_fit():
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    _, problems, _ = parse(labels=labels, regions_class_order=[1, 3])
    assert "regions_class_order gives 3 for 'core', expected one of [2]" in str(problems[0])
    _, problems, _ = parse(labels=labels, regions_class_order=[1])
    assert "expected 2 values" in str(problems[0])


def test_an_unknown_key_is_a_warning_with_the_nearest_name():
    _, problems, warnings = parse(chanel_names={}, cases={"a": {"tag": []}})
    assert problems == []
    assert "did you mean 'channel_names'?" in str(warnings[0])
    assert "did you mean 'tags'?" in str(warnings[1])
