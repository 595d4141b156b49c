"""The whole chain on made-up fingerprints: what appears when, and that all is explained."""

from dataclasses import replace

import pytest

from autoseg.labels import Labels
from autoseg.plan import ChannelUnits, Fingerprint, IntensityStats, Plan
from autoseg.plan_file import check_design, load_plan, save_plan
from autoseg.planning.normalizers import choose_normalizers
from autoseg.planning.planner import make_plan
from autoseg.records import from_json, to_json

STATS = IntensityStats(10.0, 2.0, 5.0, 15.0, 0.0, 20.0)
LABELS = Labels({"anterior": (1,), "posterior": (2,)})


def fingerprint(shape, spacing=(1.0, 1.0, 1.0), cases=200, channels=("MR",), kept=1.0):
    names = tuple(f"c{i:03d}" for i in range(cases))
    stats = (STATS,) * len(channels)
    return Fingerprint(names, (spacing,) * cases, (shape,) * cases, kept, channels, stats, {})


def test_hippocampus_gets_the_known_designs():
    plan = make_plan(fingerprint((36, 50, 35)), LABELS, "HIPPO")
    volumes, slices = plan.configurations["3d_fullres"].sizes, plan.configurations["2d"].sizes
    assert (volumes["M"].patch_size, volumes["M"].batch_size) == ((40, 56, 40), 7)
    assert (slices["M"].patch_size, slices["M"].batch_size) == ((1, 56, 40), 281)
    assert volumes["S"].patch_size == (40, 56, 40)
    assert volumes["S"].batch_size == 2
    assert volumes["S"].network.features == (16, 32, 64, 128)
    assert "3d_lowres" not in plan.configurations


def test_pictures_get_only_2d_and_small_square_patches_in_size_s():
    plan = make_plan(fingerprint((1, 400, 991), channels=("PET",)), LABELS, "MIP")
    assert list(plan.configurations) == ["2d"]
    small = plan.configurations["2d"].sizes["S"]
    assert (small.patch_size, small.batch_size) == ((1, 256, 256), 6)
    assert small.network.features == (16, 32, 64, 128, 256, 256, 256)
    assert small.network.kernels[0] == (1, 3, 3)
    assert "The data are flat: only 2d is planned." in plan.reasons


def test_large_scans_get_a_coarse_configuration_and_the_cascade():
    plan = make_plan(fingerprint((480, 512, 512), (1.0, 0.8, 0.8), 60, ("CT",)), LABELS, "CT")
    full, low = plan.configurations["3d_fullres"], plan.configurations["3d_lowres"]
    assert (full.batch_dice, low.batch_dice) == (True, False)
    assert all(a > b for a, b in zip(low.spacing, full.spacing, strict=True))
    assert plan.configurations["3d_cascade_fullres"].previous == "3d_lowres"
    assert plan.configurations["3d_cascade_fullres"].sizes == full.sizes
    assert any(reason.startswith("3d_lowres at") for reason in plan.reasons)


def test_every_size_is_planned_explained_and_fits_together():
    plan = make_plan(fingerprint((90, 120, 110)), LABELS, "X", memory_gb=16)
    for configuration in plan.configurations.values():
        assert list(configuration.sizes) == ["S", "M", "M-residual", "L", "XL", "16GB"]
        for size, design in configuration.sizes.items():
            check_design(design, size)
            start = f"{configuration.name} {size}: "
            assert sum(reason.startswith(start) for reason in plan.reasons) == 1


def test_residual_sizes_follow_the_data_and_say_so():
    small = make_plan(fingerprint((36, 50, 35)), LABELS, "HIPPO")
    sizes = small.configurations["3d_fullres"].sizes
    assert sizes["L"] == sizes["XL"] == sizes["M-residual"]
    assert sizes["L"].batch_size == 7
    assert sizes["L"].network.encoder_blocks == (1, 1, 1, 2)
    assert any("the data have 12.6 million voxels" in reason for reason in small.reasons)
    large = make_plan(fingerprint((300, 300, 300)), LABELS, "LARGE")
    assert large.configurations["3d_fullres"].sizes["L"].network.encoder_blocks[:4] == (1, 3, 4, 6)


def test_more_memory_never_gives_a_smaller_patch():
    sizes = make_plan(fingerprint((300, 300, 300)), LABELS, "X").configurations["3d_fullres"].sizes
    patches = [sizes[size].patch_size for size in ("S", "M-residual", "L", "XL")]
    assert patches == sorted(patches)


@pytest.mark.parametrize(
    ("channel", "normalizer", "masked"),
    [("CT", "ct", False), ("ct", "ct", False), ("T1", "zscore", True), ("noNorm", "none", False),
     ("rescale_to_0_1", "rescale", False), ("rgb_to_0_1", "rgb", False)],
)  # fmt: skip
def test_normalisers_go_by_name_and_masks_by_what_the_box_keeps(channel, normalizer, masked):
    names, mask, reasons = choose_normalizers(
        fingerprint((50, 50, 50), channels=(channel,), kept=0.74)
    )
    assert (names, mask) == ((normalizer,), (masked,))
    assert normalizer in reasons[0]
    assert ("inside" in reasons[0]) == masked
    assert choose_normalizers(fingerprint((50, 50, 50), channels=(channel,), kept=0.75))[1] == (
        False,
    )


def test_sides_and_warnings_reach_the_reasons():
    data = replace(fingerprint((50, 50, 50)), warnings=("channel T1 looks like a CT.",))
    labels = Labels({"kidney_left": (1,), "kidney_right": (2,), "left_lung": (3,)})
    reasons = make_plan(data, labels, "X").reasons
    assert "Mirroring left-right exchanges kidney_left and kidney_right." in reasons
    assert "Warning: channel T1 looks like a CT." in reasons
    assert any(r.startswith("Warning: left_lung names a side") for r in reasons)


def test_the_same_fingerprint_gives_the_same_file(tmp_path):
    data = fingerprint((90, 120, 110), cases=7)
    copy = from_json(Fingerprint, to_json(data))
    save_plan(tmp_path / "a.json", make_plan(data, LABELS, "X"))
    save_plan(tmp_path / "b.json", make_plan(copy, LABELS, "X"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert isinstance(load_plan(tmp_path / "a.json"), Plan)
    assert load_plan(tmp_path / "a.json") == make_plan(data, LABELS, "X")


def test_one_tiny_case_can_be_planned():
    plan = make_plan(fingerprint((3, 4, 5), cases=1), LABELS, "X")
    assert plan.configurations["3d_fullres"].sizes["M"].batch_size == 2
    assert plan.configurations["3d_fullres"].sizes["M"].patch_size == (3, 4, 5)


# --- normalisers by histogram --------------------------------------------------------------------

IS_CT = ChannelUnits(-1024.0, 1500.0, 10, 9, 0, 2.0)
IS_MR = ChannelUnits(0.0, 900.0, 10, 0, 10, 4.0)


def chosen(channels, units):
    data = replace(fingerprint((36, 50, 35), channels=channels), units=units)
    names, _, reasons = choose_normalizers(data)
    return names, reasons


def test_a_channel_whose_histograms_are_those_of_a_ct_is_normalised_as_one_and_says_why():
    names, reasons = chosen(("portal venous", "T1"), (IS_CT, IS_MR))
    assert names == ("ct", "zscore")
    assert "in 9 of 10 cases" in reasons[0]
    assert "--set CONFIGURATION.normalizers=" in reasons[0]
    assert (
        reasons[1] == "Channel T1: normaliser 'zscore', mean and standard deviation of each scan."
    )


def test_names_that_nnunet_knows_decide_whatever_the_histograms_show():
    names = ("zscore", "noNorm", "rescale_to_0_1", "rgb_to_0_1")
    assert chosen(names, (IS_CT,) * 4)[0] == ("zscore", "none", "rescale", "rgb")


@pytest.mark.parametrize(
    ("units", "normalizer", "why"),
    [
        (IS_CT, "ct", "its name says Hounsfield units: clipped"),
        (replace(IS_CT, contradicting=1), "ct", "its name says Hounsfield units: clipped"),
        (IS_MR, "ct", "which these are not (values from 0 to 900), but all scans are on one scale"),
        (replace(IS_CT, hounsfield=6, contradicting=4), "zscore", "4 of 10 scans cannot be"),
        (replace(IS_MR, spread=250.0), "zscore", "scales differ between scans"),
    ],
    ids=["a CT", "one slip", "another scale", "mixed with another", "many scales"],
)
def test_a_channel_named_ct_is_clipped_unless_its_scans_differ_in_scale(units, normalizer, why):
    names, reasons = chosen(("CT",), (units,))
    assert names == (normalizer,)
    assert why in reasons[0]


def test_half_a_dataset_of_cts_is_none():
    names, reasons = chosen(("scan",), (replace(IS_CT, hounsfield=5),))
    assert names == ("zscore",)
    assert "5 of 10 scans look like a CT" in reasons[0]
