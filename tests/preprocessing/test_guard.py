"""Every fault gets a warning of its own check that says which; untouched scans get none."""

from dataclasses import replace

import numpy as np
import pytest

from autoseg.image import Geometry, Image
from autoseg.labels import Labels
from autoseg.phantom import TARGETS, ellipsoid, make_phantom
from autoseg.plan import ChannelUnits, IntensityStats, Plan
from autoseg.preprocessing.finding import worth_telling
from autoseg.preprocessing.guard import look_at_scan
from autoseg.preprocessing.guard_labels import look_at_labels
from autoseg.preprocessing.traits import sections, traits_of
from autoseg.preprocessing.units import combine_units, look_at
from autoseg.usual import usual
from tests.tumours import CONTRASTS, make_tumour

STATS = IntensityStats(60.0, 30.0, -20.0, 150.0, -100.0, 300.0)
LABELS = Labels({name: (value,) for name, value in TARGETS.items()})


def ct(seed):
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(14, 20)), int(rng.integers(38, 46)), int(rng.integers(38, 46))
    return make_phantom(rng, shape)


def plan_of(cases, channels, labels, ending=".nii.gz"):
    known = usual(
        [traits_of(image) for image, _ in cases],
        [sections(found, labels, image.geometry) for image, found in cases],
    )
    units = tuple(
        combine_units([look_at(image.array[i]) for image, _ in cases]) for i in range(len(channels))
    )
    stats = (STATS,) * len(channels)
    return Plan("X", channels, labels, (0, 1, 2), stats, {}, (), ending, units=units, usual=known)


PLAN = plan_of([ct(seed) for seed in range(10)], ("CT",), LABELS)
IMAGE, LABEL_MAP = ct(100)


def changed(values):
    return replace(IMAGE, array=values(IMAGE.array.astype(np.float32)))


def sized(image, factor):
    z, y, x = (factor * size for size in image.geometry.spacing)
    return replace(image, geometry=replace(image.geometry, spacing=(z, y, x)))


def slices(image, index):
    array = image.array[(slice(None), *index)]
    return Image(array, replace(image.geometry, shape=array.shape[1:]))


def warned(image, plan=PLAN, normalizer="ct"):
    return worth_telling(look_at_scan(image, plan, (normalizer,) * len(plan.channels)))


@pytest.mark.parametrize("seed", range(100, 110))
def test_untouched_scans_get_no_warning(seed):
    image, label_map = ct(seed)
    assert warned(image) == []
    assert worth_telling([look_at_labels(label_map, image.geometry, PLAN)]) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (lambda a: a + 1024, "% of the voxels above the training range -1024 to 1"),
        (lambda a: a + 1024, "1,024 too high: rescale intercept lost?"),
        (lambda a: a - 1024, "1,024 too low: rescale intercept applied twice?"),
        (lambda a: a + 600, "about 60"),
        (lambda a: a * 10, "about 10 times as large as there: rescale slope lost?"),
        (lambda a: a.max() - a - 1000, "inverted?"),
        (lambda a: np.full_like(a, 40.0), "channel CT has one value everywhere"),
    ],
)
def test_intensities_that_are_off_are_explained(values, told):
    found = warned(changed(values))
    assert len(found) == 1
    assert found[0].startswith("intensities: ")
    assert told in found[0]


def test_a_fault_without_a_name_is_one_of_several():
    found = warned(changed(lambda a: np.clip((a + 160) / 400, 0, 1) * 255))
    assert found[0].endswith("another kind of image, windowed, or normalised already?")


def test_an_mr_for_a_model_of_cts_and_the_other_way_round():
    mr, _ = make_tumour(np.random.default_rng(0), (16, 42, 42))
    mr = Image(mr.array[:1], replace(IMAGE.geometry, shape=(16, 42, 42)))
    assert any("another kind of image" in text for text in warned(mr))
    cases = [make_tumour(np.random.default_rng(seed), (16, 42, 42)) for seed in range(5)]
    cases = [(Image(image.array[:1], image.geometry), found) for image, found in cases]
    plan = plan_of(cases, ("T1",), Labels({"tumour": (1,)}))
    assert any("not on a CT" in text for text in warned(IMAGE, plan, "zscore"))


def test_another_gain_matters_where_numbers_have_units_and_nowhere_else():
    louder = changed(lambda a: a * 3)
    assert warned(louder, PLAN, "zscore") == []
    assert len(warned(louder, PLAN, "ct")) == 1


@pytest.mark.parametrize(
    ("factor", "told"),
    [(0.1, "in cm?"), (0.001, "in metres?"), (10.0, "in tenths of a mm?"), (3.0, "lost?")],
)
def test_other_units_of_voxel_sizes_are_one_fault_not_two(factor, told):
    found = warned(sized(IMAGE, factor))
    assert found[0].startswith(f"spacing: voxels of {3 * factor:.3g}x{factor:.3g}x{factor:.3g} mm")
    assert "in training 3x1x1 mm" in found[0]
    assert told in found[0]
    if told != "lost?":
        assert len(found) == 1


def test_half_the_voxel_size_is_no_fault():
    finer = Image(
        IMAGE.array.repeat(2, 3), Geometry((*IMAGE.geometry.shape[:2], 84), (3.0, 1.0, 0.5))
    )
    assert not any(text.startswith("spacing") for text in warned(finer))


def test_a_part_of_the_scan_is_too_small():
    found = warned(slices(IMAGE, (slice(0, 7), slice(None), slice(None))))
    low, _, high = PLAN.usual.grid["extent z"]
    assert found == [
        f"field of view: 21 mm from lowest to highest, in training {low:.4g} to {high:.4g} mm: "
        "part of the scan missing?"
    ]


def test_a_body_that_is_cut_at_its_side_is_seen_on_the_face():
    wide = Image(np.pad(IMAGE.array[..., 16:], ((0, 0),) * 3 + ((0, 16),), "edge"), IMAGE.geometry)
    found = warned(wide)
    assert "field of view: the right face shows other values than in training: cut short?" in found
    assert not any("inverted" in text for text in found)


def test_a_target_that_a_face_cuts_is_seen_after_prediction():
    part = LABEL_MAP[LABEL_MAP.shape[0] // 2 :]
    finding = look_at_labels(part, replace(IMAGE.geometry, shape=part.shape), PLAN)
    assert finding.score > 1
    assert "is cut at the lowest face: " in str(finding)
    assert "% of its usual section there, in training at most 0%; part of the" in str(finding)
    speck = np.zeros_like(LABEL_MAP)
    speck[0, 20, 20:22] = 1  # a network's slip is no organ that was cut
    assert look_at_labels(speck, IMAGE.geometry, PLAN).score < 1
    nothing = np.zeros_like(LABEL_MAP)
    assert look_at_labels(nothing, IMAGE.geometry, PLAN) is None


def test_a_border_one_voxel_too_far_is_no_cut_where_targets_come_near_the_face():
    labels, grid = Labels({"ball": (1,)}), Geometry((30, 30, 30))

    def ball(centre):
        return ellipsoid(grid.shape, (centre, 15, 15), (8, 8, 8)).astype(np.uint8)

    image = Image(np.random.default_rng(0).normal(0, 1, (1, *grid.shape)), grid)
    plan = plan_of([(image, ball(centre)) for centre in (9, 10, 12)] * 4, ("MR",), labels)
    assert plan.usual.sections["ball"].faces[0] == 0 < plan.usual.sections["ball"].near[0]
    assert look_at_labels(ball(7.5), grid, plan).score < 1  # it meets the lowest face
    finding = look_at_labels(ball(2), grid, plan)
    assert finding.score > 1
    assert finding.told.startswith("ball is cut within 3 slices of the lowest face: 100% of")


def test_a_target_that_ends_just_before_a_face_is_seen_too():
    # As networks answer that never saw a target at the border.
    labels = Labels({"organ": (1,)})
    label_map = np.zeros((20, 30, 30), np.uint8)
    label_map[5:15, 8:22, 8:22] = 1
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 20, 30, 30)), Geometry((20, 30, 30)))
    plan = plan_of([(image, label_map)] * 10, ("MR",), labels)
    assert look_at_labels(label_map, image.geometry, plan).score == 0
    shifted = np.roll(label_map, -3, 0)  # two empty slices are left
    finding = look_at_labels(shifted, image.geometry, plan)
    assert finding.score > 1
    assert finding.told.startswith("organ is cut within 3 slices of the lowest face: 100% of")
    # Slices of half the thickness: four empty ones, as thick as two of the training's.
    finer = replace(image.geometry, spacing=(0.5, 1.0, 1.0), shape=(40, 30, 30))
    finding = look_at_labels(shifted.repeat(2, 0), finer, plan)
    assert finding.told.startswith("organ is cut within 6 slices of the lowest face: 100% of")


def test_faces_of_pictures_have_names_of_pictures():
    labels = Labels({"spot": (1,)})
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(5):
        label_map = np.zeros((1, 30, 30), np.uint8)
        label_map[0, 10:20, 10:20] = 1
        array = rng.normal(100, 10, (1, 1, 30, 30)) + 100 * label_map
        cases.append((Image(array, Geometry((1, 30, 30))), label_map))
    plan = plan_of(cases, ("grey",), labels, ".png")
    cut = np.roll(cases[0][1], -12, 1)
    finding = look_at_labels(cut, cases[0][0].geometry, plan)
    assert "spot is cut at the top face: 100% of its usual section there" in str(finding)


def test_exchanged_channels_are_named_once():
    labels = Labels({"oedema": (1,)})
    cases = [make_tumour(np.random.default_rng(seed)) for seed in range(10)]
    plan = plan_of(cases, CONTRASTS, labels)
    for seed in range(20, 25):
        image, _ = make_tumour(np.random.default_rng(seed))
        assert warned(image, plan, "zscore") == []
        for a, b in ((0, 1), (2, 3), (0, 3)):
            order = list(range(4))
            order[a], order[b] = b, a
            found = warned(replace(image, array=image.array[order]), plan, "zscore")
            first, second = CONTRASTS[a], CONTRASTS[b]
            assert len(found) == 1
            assert found[0].startswith("channels: exchanged? the order fits ")
            assert found[0].endswith(
                f"{second} where {first} belongs, {first} where {second} belongs"
            )


def test_channels_of_one_kind_are_not_called_exchanged():
    rng = np.random.default_rng(0)

    def rgb():
        grey = rng.gamma(3, 20, (1, 1, 40, 40))
        return Image(np.concatenate([grey + rng.normal(0, 5, grey.shape) for _ in range(3)]),
                     Geometry((1, 40, 40)))  # fmt: skip

    plan = plan_of(
        [(rgb(), np.zeros((1, 40, 40), np.uint8)) for _ in range(20)], ("r", "g", "b"), LABELS
    )
    for _ in range(20):
        assert not [text for text in warned(rgb(), plan, "rgb") if text.startswith("channels")]


def test_a_plan_without_ranges_is_asked_about_units_only():
    plan = replace(PLAN, usual=None)
    assert warned(sized(IMAGE, 0.1), plan) == []
    (told,) = warned(changed(lambda a: a + 1024), plan)
    assert told.startswith("intensities: channel CT has values from 0 to ")
    assert "the model was trained on Hounsfield units" in told
    assert look_at_labels(LABEL_MAP[8:], IMAGE.geometry, plan) is None
    unknown = replace(plan, units=(), channels=("MR",))
    assert warned(changed(lambda a: a + 1024), unknown, "zscore") == []


def test_units_are_believed_where_ranges_are_wide():
    units = ChannelUnits(-1000.0, 1500.0, 10, 10, 0, 2.0)
    wide = dict.fromkeys(PLAN.usual.channels[0], (-5000.0, 0.0, 5000.0))
    plan = replace(PLAN, units=(units,), usual=replace(PLAN.usual, channels=(wide,)))
    (told,) = warned(changed(lambda a: a + 1024), plan)
    assert told.startswith("intensities: ")
