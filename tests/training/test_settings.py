"""Numbers that settings may not have."""

import dataclasses

import pytest

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.training import settings
from autoseg.training.settings import check_ranges


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("accumulate", 0, "more than zero"),
        ("focal_gamma", -1.0, "zero or more"),
        ("focal_gamma", float("nan"), "zero or more"),
        ("momentum", 1.0, "at least 0 and below 1"),
        ("control_fraction", 1.5, "from 0 to 1"),
        ("topk_percent", 0.0, "above 0 and up to 100"),
        ("learning_rate", float("inf"), "more than zero"),
        ("mirror_axes", (0, 3), "some of 0, 1 and 2, each once"),
        ("mirror_axes", (0, 0), "some of 0, 1 and 2, each once"),
        ("seed", -1, "from 0 to 4,294,967,295"),
        ("seed", 2**32, "from 0 to 4,294,967,295"),
        ("patch_size", (0, 8, 8), "1 or more along each axis"),
        ("betas", (0.9, 1.0), "two numbers, at least 0 and below 1"),
        ("step_factor", 0.0, "above 0 and up to 1"),
    ],
)
def test_a_number_out_of_range_is_said_with_its_range(name, value, expected) -> None:
    config = dataclasses.replace(TrainConfig(), **{name: value})
    with pytest.raises(UsageError, match=f"{name} = .*expected {expected}"):
        check_ranges(config)


def test_defaults_are_in_range_and_every_number_has_one() -> None:
    check_ranges(TrainConfig())
    checked = {name for names, _, _ in settings.RULES for name in names}
    numbers = {
        f.name for f in dataclasses.fields(TrainConfig) if "int" in f.type or "float" in f.type
    }
    assert numbers - checked == {"patch_size", "mirror_axes", "betas"}


def test_tversky_needs_a_weight() -> None:
    with pytest.raises(UsageError, match="tversky_alpha = tversky_beta = 0"):
        check_ranges(TrainConfig(tversky_alpha=0.0, tversky_beta=0.0))
