"""Which scans are in Hounsfield units, and which cannot be: phantoms, real scans, look-alikes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.image import Image
from autoseg.io import read_image
from autoseg.labels import Labels
from autoseg.plan import ChannelUnits, IntensityStats, Plan
from autoseg.preprocessing.units import combine_units, look_at, unexpected_units
from tests.synthetic import small_phantom

CT = small_phantom()[0]
ARRAY = CT.array[0].astype(np.float32)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_a_ct_is_recognised_whole_resampled_or_padded() -> None:
    padded = ARRAY.copy()
    padded[:, :6] = -2048  # outside the round field of view
    for array in (ARRAY, ARRAY + np.float32(0.3), padded, ARRAY.astype(np.int16)):
        assert look_at(array).hounsfield
        assert not look_at(array).contradicts


@pytest.mark.parametrize(
    "change",
    [
        lambda a: (a - a.mean()) / a.std(),
        lambda a: (a - a.min()) / (a.max() - a.min()),
        lambda a: np.clip((a + 200) / 500, 0, 1) * 255,
        lambda a: a + 1024,
    ],
    ids=["z-score", "0 to 1", "0 to 255", "without its intercept"],
)
def test_a_ct_in_other_units_cannot_be_hounsfield(change) -> None:
    found = look_at(change(ARRAY))
    assert not found.hounsfield
    assert found.contradicts


def test_a_crop_of_soft_tissue_is_neither() -> None:
    found = look_at(np.random.default_rng(0).normal(60, 30, (9, 20, 20)))
    assert not found.hounsfield
    assert not found.contradicts


def test_other_numbers_below_minus_900_are_no_ct() -> None:
    rng = np.random.default_rng(3)
    phase = rng.uniform(-4096, 4095, (20, 60, 60))  # an MR phase image
    velocity = np.where(rng.random((20, 60, 60)) < 0.8, rng.normal(0, 20, (20, 60, 60)), 0)
    velocity[0, 0, :2] = -1500, 1500  # phase contrast: air would be missing
    shifted = np.where(rng.random((20, 60, 60)) < 0.5, -1024, rng.normal(700, 200, (20, 60, 60)))
    for array in (phase, velocity, shifted):
        assert not look_at(array).hounsfield


def test_uptake_and_magnitude_images_are_no_ct() -> None:
    rng = np.random.default_rng(3)
    uptake, magnitude = rng.exponential(2, (9, 40, 40)), rng.rayleigh(300, (9, 40, 40))
    assert not look_at(uptake).hounsfield
    assert not look_at(magnitude).hounsfield


def test_an_empty_scan_says_nothing() -> None:
    found = look_at(np.zeros((3, 4, 5), np.float32))
    assert not found.hounsfield
    assert not found.contradicts
    assert combine_units([found]).spread == 1.0


def test_most_scans_decide_and_a_slip_is_forgiven() -> None:
    good, bad = look_at(ARRAY), look_at(ARRAY + 1024)
    assert combine_units([good] * 9 + [bad]).is_hounsfield
    assert not combine_units([good] * 8 + [bad] * 2).is_hounsfield
    assert not combine_units([bad] * 5).is_hounsfield


def test_real_scans_are_told_apart() -> None:
    if not DATA.is_dir():
        pytest.skip("the real scans are not there")
    scans = {"spleen_ct/image.nii.gz": True, "dicom_ct": True,
             "totalsegmentator/s0000/ct.nii.gz": True,
             "hippocampus/imagesTr/hippocampus_001.nii.gz": False,
             "mip_pet/patients/imgs/patient_001.png": False}  # fmt: skip
    for name, expected in scans.items():
        assert look_at(read_image(DATA / name).array[0]).hounsfield == expected, name


# --- a new scan for a trained model --------------------------------------------------------------

STATS = IntensityStats(60.0, 30.0, -20.0, 150.0, -100.0, 300.0)
TRAINED = ChannelUnits(-1024.0, 1500.0, 10, 10, 0, 2.0)
MAGNITUDE = ChannelUnits(0.0, 1400.0, 10, 0, 10, 2.0)


def plan_with(units: tuple[ChannelUnits, ...], name: str = "CT") -> Plan:
    return Plan("X", (name,), Labels({"a": (1,)}), (0, 1, 2), (STATS,), {}, (), units=units)


def warned(array: np.ndarray, plan: Plan, normalizer: str) -> str:
    return " ".join(unexpected_units(replace_array(array), plan, (normalizer,)).values())


def replace_array(array: np.ndarray) -> Image:
    return replace(CT, array=array[None])


def test_a_model_of_cts_says_when_it_is_given_something_else() -> None:
    plan = plan_with((TRAINED,))
    grey = (ARRAY - ARRAY.min()) / (ARRAY.max() - ARRAY.min()) * 255
    assert warned(grey, plan, "ct") == (
        "channel CT has values from 0 to 255; the model was trained on Hounsfield units, "
        "about -1024 to 1500"
    )
    assert not warned(ARRAY, plan, "ct")
    assert not warned(np.zeros_like(ARRAY), plan, "ct")


def test_a_plan_that_noted_no_units_still_knows_its_ct_by_name_and_numbers() -> None:
    assert "Hounsfield" in warned(ARRAY + 1024, plan_with(()), "ct")
    assert not warned(ARRAY + 1024, plan_with((), "MR"), "zscore")


def test_a_ct_for_a_model_of_mr_is_noticed_and_another_mr_is_not() -> None:
    plan = plan_with((MAGNITUDE,), "T1")
    assert "not on a CT" in warned(ARRAY, plan, "zscore")
    assert not warned(np.abs(ARRAY) / 100, plan, "zscore")  # z-score does not mind the scale


def test_where_the_scale_matters_another_scale_is_noticed() -> None:
    plan = plan_with((ChannelUnits(0.0, 255.0, 10, 0, 10, 1.0),), "rgb_to_0_1")
    assert "from about 0 to 255" in warned(np.abs(ARRAY) / 2000, plan, "rgb")
    assert not warned(np.abs(ARRAY) / 10, plan, "rgb")
