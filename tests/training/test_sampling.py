"""Where patches come from: which case, which target."""

from itertools import chain

import numpy as np
import pytest

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.preprocessing.store import PreparedCase
from autoseg.training.sampling import Pool, choose_cases, make_pool
from tests.training.prepared import make_case

LABELS = Labels({"common": (1,), "rare": (2,)})


def pool_of(cases: list[PreparedCase], config: TrainConfig = TrainConfig()) -> Pool:  # noqa: B008
    return make_pool(cases, LABELS, config)


def many_choices(pool: Pool, size: int, config: TrainConfig, batches: int = 400) -> list:
    rng = np.random.default_rng(0)
    return [choose_cases(pool, size, config, rng) for _ in range(batches)]


def three_cases() -> list[PreparedCase]:
    """Target 0 in the first two cases, target 1 in the second only; the third is a control."""
    labels = np.zeros((3, 8, 10, 12), dtype=np.uint8)
    labels[0, 1:3, 2:5, 3:6] = 1
    labels[1, 4:6, 2:5, 3:6] = 1
    labels[1, 7, 9, 11] = 2
    tags: list[tuple[str, ...]] = [(), (), ("control",)]
    return [make_case(f"{i}", labels[i], tags=tags[i]) for i in range(3)]


def test_nnunet_centres_the_last_third_of_the_positions_on_targets_of_uniformly_drawn_cases() -> (
    None
):
    pool = pool_of(three_cases())
    batches = many_choices(pool, 6, TrainConfig(sampler="nnunet"))
    for position in range(6):
        targets = {batch[position].target for batch in batches}
        assert targets == ({None} if position < 4 else {None, 0, 1})  # None: the control
    counts = np.bincount([batch[5].case for batch in batches], minlength=3)
    np.testing.assert_allclose(counts / 400, 1 / 3, atol=0.08)
    second = [batch[5].target for batch in batches if batch[5].case == 1]
    assert np.mean(second) == pytest.approx(0.5, abs=0.15)


def test_nnunet_with_two_samples_forces_one() -> None:
    batches = many_choices(pool_of(three_cases()[:2]), 2, TrainConfig(sampler="nnunet"), 20)
    assert all(a.target is None and b.target is not None for a, b in batches)


def test_balanced_gives_rare_targets_the_share_of_common_ones() -> None:
    config = TrainConfig(foreground_fraction=0.5, control_fraction=0.25)
    choices = list(chain.from_iterable(many_choices(pool_of(three_cases()), 4, config)))
    targets = [choice.target for choice in choices if choice.target is not None]
    assert len(targets) == len(choices) / 2
    assert np.mean(targets) == pytest.approx(0.5, abs=0.06)
    rare = {choice.case for choice in choices if choice.target == 1}
    assert rare == {1}


def test_balanced_takes_its_share_from_controls_and_the_rest_from_the_others() -> None:
    config = TrainConfig(foreground_fraction=0.3, control_fraction=0.2)
    choices = list(chain.from_iterable(many_choices(pool_of(three_cases()), 4, config)))
    controls = np.mean([choice.case == 2 for choice in choices])
    forced = np.mean([choice.target is not None for choice in choices])
    assert controls == pytest.approx(0.2, abs=0.03)
    assert forced == pytest.approx(0.3, abs=0.03)


def test_probabilistic_centres_each_position_with_the_same_chance() -> None:
    config = TrainConfig(sampler="nnunet_probabilistic", foreground_fraction=0.25)
    batches = many_choices(pool_of(three_cases()[:2]), 4, config)
    for position in range(4):
        forced = np.mean([batch[position].target is not None for batch in batches])
        assert forced == pytest.approx(0.25, abs=0.07)
    counts = {sum(choice.target is not None for choice in batch) for batch in batches}
    assert {0, 1, 2, 3} <= counts


@pytest.mark.parametrize("sampler", ["balanced", "nnunet", "nnunet_probabilistic"])
def test_targets_are_drawn_by_the_weights_of_target_sampling(sampler: str) -> None:
    config = TrainConfig(sampler=sampler, target_sampling="common=1,rare=3")
    pool = pool_of(three_cases()[1:2], config)
    choices = list(chain.from_iterable(many_choices(pool, 4, config)))
    targets = [choice.target for choice in choices if choice.target is not None]
    assert np.mean(targets) == pytest.approx(0.75, abs=0.05)
    never = TrainConfig(sampler=sampler, target_sampling="rare=0")
    choices = list(chain.from_iterable(many_choices(pool_of(three_cases(), never), 4, never)))
    assert {choice.target for choice in choices} == {None, 0}


@pytest.mark.parametrize("sampler", ["balanced", "nnunet", "nnunet_probabilistic"])
def test_a_target_is_never_drawn_in_a_case_where_it_was_not_annotated(sampler: str) -> None:
    labels = three_cases()[1].labels
    cases = [make_case("a", labels, annotated=("rare",)), make_case("b", labels)]
    config = TrainConfig(sampler=sampler)
    choices = list(chain.from_iterable(many_choices(pool_of(cases), 4, config)))
    drawn = {(choice.case, choice.target) for choice in choices} - {(0, None), (1, None)}
    assert drawn == {(0, 1), (1, 0), (1, 1)}
    nowhere = pool_of([make_case("a", labels, annotated=())])
    assert all(choice.target is None for choice in many_choices(nowhere, 4, config, 1)[0])


def test_a_control_has_no_target_annotated_or_not() -> None:
    labels = three_cases()[1].labels
    assert not pool_of([make_case("a", labels, tags=("control",), annotated=())]).control.any()


def test_data_without_any_target_are_sampled_anywhere() -> None:
    pool = pool_of([make_case("a", np.zeros((4, 4, 4), dtype=np.uint8))])
    for sampler in ("balanced", "nnunet"):
        (batch,) = many_choices(pool, 3, TrainConfig(sampler=sampler), 1)
        assert [(choice.case, choice.target) for choice in batch] == [(0, None)] * 3


def test_a_misspelled_sampler_is_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean 'balanced'"):
        many_choices(pool_of(three_cases()), 2, TrainConfig(sampler="ballanced"), 1)
