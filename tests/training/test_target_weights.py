"""Weights of targets: read from text, made from volumes, refused."""

import pytest

from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.training.target_weights import (
    channel_weights,
    sampling_weights,
    weights_by_volume,
)

ORGANS = Labels({"liver": (1,), "kidneys": (2, 3)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})


def test_who_is_not_named_weighs_one_and_background_comes_first() -> None:
    assert channel_weights(None, ORGANS) is None
    assert channel_weights("kidneys=3", ORGANS) == (1, 1, 3)
    assert channel_weights(" background=0.3, liver = 2 ", ORGANS) == (0.3, 2, 1)
    assert channel_weights("tumour=2", REGIONS) == (1, 2)
    assert channel_weights("balanced", ORGANS) == (1, 1, 1)


def test_targets_are_drawn_by_weights_without_background() -> None:
    assert sampling_weights(None, ORGANS) is None
    assert sampling_weights("kidneys=3", ORGANS) == (1, 3)
    assert sampling_weights("rarity", ORGANS) == (1, 1)
    with pytest.raises(UsageError, match=r"target_sampling=background=1: unknown.*rarity, or name"):
        sampling_weights("background=1", ORGANS)


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        ("livr=2", ORGANS, "unknown target 'livr'.*did you mean 'liver'"),
        ("background=2", REGIONS, "unknown target 'background'.*of kidney, tumour"),
        ("2,3", ORGANS, "unknown target '2', expected balanced, or name=weight"),
        ("liver=much", ORGANS, "'much' is no weight, expected 0 or more"),
        ("liver=-1", ORGANS, "'-1' is no weight"),
        ("liver=nan", ORGANS, "'nan' is no weight"),
        ("liver=0,kidneys=0", ORGANS, "expected a weight above 0 for some target"),
    ],
)
def test_what_cannot_be_meant_is_said(text: str, labels: Labels, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        channel_weights(text, labels)


def test_balanced_weights_are_inverse_roots_of_mean_volumes_with_mean_one() -> None:
    counts = [{"0": 9000, "1": 900, "2": 60, "3": 40}, {"0": 9000, "1": 900, "2": 100}]
    # 900 and 100 voxels: roots 30 and 10.
    assert weights_by_volume(counts, [None, None], ORGANS) == "liver=0.5,kidneys=1.5"


def test_balanced_weights_leave_cases_out_where_a_target_was_not_annotated() -> None:
    counts = [{"1": 100, "2": 100}, {"1": 100}]
    assert weights_by_volume(counts, [None, ("liver",)], ORGANS) == "liver=1,kidneys=1"
    assert weights_by_volume(counts, [None, None], ORGANS) == "liver=0.828,kidneys=1.17"


def test_a_target_that_never_occurs_weighs_one() -> None:
    assert weights_by_volume([{"1": 50}], [None], ORGANS) == "liver=1,kidneys=1"


def test_regions_count_all_of_their_values() -> None:
    assert weights_by_volume([{"1": 300, "2": 100}], [None], REGIONS) == "kidney=0.667,tumour=1.33"
