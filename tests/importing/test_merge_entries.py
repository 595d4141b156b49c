"""What a union says of its cases: the same scan twice, and whole groups that come together."""

from pathlib import Path

from autoseg.dataset import Case
from autoseg.importing.merge import Member
from autoseg.importing.merge_entries import DROP, GROUP, REFUSE, settle

LABELS = Path("labels.mha")
MEMBERS = [Member(case, case[0], Case(case[2:], (Path(f"{case}.mha"),), LABELS), (0,))
           for case in ("A_1", "A_2", "B_1", "B_2", "B_3")]  # fmt: skip
SAME = [(0, 2, "the same voxels as")]  # A_1 and B_1


def entries(**groups):
    return {m.case: {"group": groups[m.case]} if m.case in groups else {} for m in MEMBERS}


def groups_of(entries):
    return {case: entry.get("group") for case, entry in entries.items()}


def test_a_whole_group_comes_along_with_one_of_its_scans():
    found = entries(A_1="anna", A_2="anna", B_1="7", B_2="7")
    dropped, notes, problems = settle(MEMBERS, SAME, found, GROUP)
    assert (dropped, problems) == (set(), [])
    assert notes == ["B_1: the same voxels as A_1: both in group anna"]
    assert groups_of(found) == {
        "A_1": "anna", "A_2": "anna", "B_1": "anna", "B_2": "anna", "B_3": None
    }  # fmt: skip


def test_a_group_of_the_second_alone_comes_along_too():
    found = entries(B_1="7", B_2="7")
    settle(MEMBERS, SAME, found, GROUP)
    assert groups_of(found) == {"A_1": "A_1", "A_2": None, "B_1": "A_1", "B_2": "A_1", "B_3": None}


def test_scans_of_one_group_share_a_fold_already():
    found = entries(A_1="anna", B_1="anna")
    dropped, notes, problems = settle(MEMBERS, SAME, found, REFUSE)
    assert (dropped, problems) == (set(), [])
    assert notes == ["B_1: the same voxels as A_1: both in group anna"]


def test_others_are_refused_or_dropped():
    found = entries(A_1="anna", B_1="7")
    _, notes, problems = settle(MEMBERS, SAME, found, REFUSE)
    told = "B_1 (B_1.mha): the same voxels as A_1, expected different scans"
    assert (notes, [str(problem) for problem in problems]) == ([], [told])
    assert settle(MEMBERS, SAME, found, DROP) == (
        {2}, ["B_1: the same voxels as A_1: left out"], []
    )  # fmt: skip
    assert groups_of(found)["B_1"] == "7"


def test_an_image_to_predict_that_is_trained_on_is_refused_or_left_out():
    tests = [Member(case, case[0], Case(case[2:], (Path(f"{case}.mha"),)), (0,))
             for case in ("A_1", "B_9")]  # fmt: skip
    same = [(0, 5, "the same voxels as"), (5, 6, "the same voxels as")]
    found = entries()
    dropped, notes, problems = settle([*MEMBERS, *tests], same, found, REFUSE)
    told = "A_1 (A_1.mha): the same voxels as A_1, expected images that are not trained on"
    assert (dropped, notes, [str(problem) for problem in problems]) == (set(), [], [told])
    for how in (GROUP, DROP):
        left_out = ({5}, ["A_1: the same voxels as A_1: left out"], [])
        assert settle([*MEMBERS, *tests], same, found, how) == left_out
    assert found == entries()
