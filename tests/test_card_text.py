"""The page for people: what it must say, and what it must not leave out silently."""

from __future__ import annotations

import dataclasses

from autoseg.card import About, ModelCard, Results, Score, TrainingData
from autoseg.card_text import card_text
from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.plan import IntensityStats, Plan
from tests.inference.conftest import make_plan


def page(
    card: ModelCard = ModelCard(),  # noqa: B008
    plan: Plan | None = None,
    config: TrainConfig = TrainConfig(),  # noqa: B008
) -> str:
    plan = plan or make_plan()
    settings = plan.configurations["3d_fullres"]
    return card_text(card, plan, settings, "S", settings.sizes["S"], config, "1.2")


def test_what_nobody_stated_is_said_to_be_not_stated():
    text = page()
    assert "**Intended use**: not stated" in text
    assert "**Licence**: not stated" in text
    assert "No cross-validation was recorded" in text


def test_texts_channels_targets_and_how_to_run_are_there():
    text = page(ModelCard(About(licence="CC BY 4.0", contact="a@b.c", intended_use="research")))
    for words in ("CC BY 4.0", "a@b.c", "research", "| 0 | MR |", "| anterior | 1 |",
                  "autoseg_predict -m BUNDLE", "CASE_0000.nii.gz", "autoseg 1.2"):  # fmt: skip
        assert words in text


def test_steps_are_said_to_be_those_of_one_fold():
    assert "loss dice_ce, 18 steps in the fold trained last" in page(config=TrainConfig(steps=18))
    assert "steps" not in page()


def test_numbers_are_never_without_n():
    score = Score(0.87, 28, 30, (0.85, 0.89))
    results = Results(("0", "1"), 30, {"dice": score}, {"anterior": {"dice": score}}, "surfel")
    text = page(ModelCard(results=results))
    assert "| anterior | 0.87 [0.85, 0.89], n = 28 of 30 |" in text
    assert "Cross-validation: folds 0, 1, 30 cases" in text
    one = page(ModelCard(results=dataclasses.replace(results, folds=("2",))))
    assert "Cross-validation: fold 2, 30 cases" in one
    both = {"anterior": {"dice": score}, "posterior": {"dice": score}}
    mean = Score(0.8, 2, 2)
    text = page(
        ModelCard(results=dataclasses.replace(results, targets=both, foreground={"dice": mean}))
    )
    assert "| mean | 0.8, of 2 targets |" in text


def test_rules_that_were_chosen_are_told_with_when_they_apply():
    score = Score(0.87, 28, 30)
    results = Results(("0",), 30, {"dice": score}, {"anterior": {"dice": score}})
    rules = {"anterior": ({"rule": "min_component", "mm3": 50.0},)}
    text = page(ModelCard(results=results, rules=rules))
    assert "anterior: rule min_component mm3 50.0" in text
    assert "not when the bundle is named" in text


def test_ranges_of_the_data_are_told():
    data = TrainingData(30, ((1, 2, 3),) * 3, ((40, 50, 60),) * 3)
    assert "| 1 / 2 / 3 | 40 / 50 / 60 |" in page(ModelCard(data=data))


def test_a_ct_tells_its_window_and_regions_tell_their_overlap_and_sides():
    labels = Labels({"kidney_left": (1, 3), "kidney_right": (2,), "tumour": (3,)})
    plan = make_plan(labels)
    settings = dataclasses.replace(plan.configurations["3d_fullres"], normalizers=("ct",))
    stats = IntensityStats(100.0, 40.0, -50.0, 250.0, -100.0, 300.0)
    plan = dataclasses.replace(
        plan, configurations={"3d_fullres": settings}, intensities=(stats,), channels=("CT",)
    )
    text = page(plan=plan)
    assert "clipped to -50 to 250, minus 100, divided by 40" in text
    assert "| kidney_left | 1, 3 | tumour | kidney_right |" in text
    assert "may overlap" in text
