"""Labels held to what images show: moved ones are found, odd but right ones are left in peace."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp

from autoseg.image import Geometry, Image
from autoseg.importing import coherence as module
from autoseg.importing.coherence import measure_coherence
from autoseg.importing.misplaced import blame, place_targets
from autoseg.importing.move_label import move_label
from autoseg.io import read_image, read_labels
from autoseg.labels import Labels
from tests.importing.test_move_label import segthor_matrix

ORGAN = Labels({"organ": (1,)})
SHAPE = (24, 60, 60)
GRID = Geometry(SHAPE, (3.0, 1.5, 1.5))
ROUND = np.linalg.norm((np.indices(SHAPE).T - (12, 28, 24)) / (6, 12, 12), axis=-1).T < 1


def tissues(seed=0):
    """Return an image (Z, Y, X) of blobs of fat, muscle, air and bone, with noise."""
    rng = np.random.default_rng(seed)
    blobs = gaussian_filter(rng.normal(size=SHAPE), (2, 4, 4))
    levels = np.digitize(blobs, np.quantile(blobs, (0.1, 0.5, 0.9)))
    return np.array([-900.0, -100, 50, 500])[levels] + rng.normal(0, 12, SHAPE)


def scan(seed=0, inside=110.0):
    image = tissues(seed)
    image[ROUND] = inside + np.random.default_rng(seed).normal(0, 12, int(ROUND.sum()))
    return image


def look(channels, label_map, labels=ORGAN, grid=GRID, annotated=None):
    image = Image(np.stack(channels).astype(np.float32), grid)
    return measure_coherence("c", image, label_map, labels, annotated or labels.names)


def moved(mask, by=(4, 14, 10)):
    return np.roll(mask, by, (0, 1, 2)).astype(np.uint8)


def is_misplaced(measured, labels=ORGAN):
    (placement,) = place_targets(labels, measured)
    return placement.misplaced


@pytest.mark.parametrize("seed", range(5))
def test_an_organ_is_found_when_moved_and_not_before(seed):
    image = scan(seed)
    assert not is_misplaced(look([image], ROUND.astype(np.uint8)))
    assert is_misplaced(look([image], moved(ROUND)))


def test_an_organ_of_many_tissues_that_stands_out_is_left_in_peace():
    image = tissues()
    image[ROUND] = np.random.default_rng(1).choice([-1000.0, 900.0], int(ROUND.sum()))
    (measured,) = look([image], ROUND.astype(np.uint8))
    assert measured.rank > 0.9
    assert measured.contrast > 0.5
    assert not is_misplaced([measured])


@pytest.mark.parametrize("seed", range(3))
def test_an_organ_of_one_tissue_within_the_same_is_left_in_peace(seed):
    image = np.random.default_rng(seed).normal(50, 12, SHAPE)
    image[:, :8], image[:, -8:], image[:, :, :6], image[:, :, -6:] = -100, -900, 500, -100
    (measured,) = look([image], ROUND.astype(np.uint8))
    assert measured.contrast < 0.2
    assert not is_misplaced([measured])


def test_the_channel_that_shows_the_organ_counts():
    noise = np.random.default_rng(3).normal(size=SHAPE)
    (measured,) = look([noise, scan()], ROUND.astype(np.uint8))
    assert measured.channel == 1
    assert not is_misplaced([measured])


def test_numbers_are_those_of_the_image():
    image = scan()
    (measured,) = look([image], ROUND.astype(np.uint8))
    low, high = np.percentile(image[ROUND], (10, 90))
    assert measured.voxels == ROUND.sum()
    assert measured.spread == pytest.approx(high - low, rel=0.15)
    assert measured.grain < measured.spread < 1.4 * measured.grain
    assert look([image], ROUND.astype(np.uint8)) == [measured]  # the same again


def test_large_targets_are_thinned_out(monkeypatch):
    monkeypatch.setattr(module, "DRAWN_FROM", 400)
    (measured,) = look([scan()], ROUND.astype(np.uint8))
    assert measured.spread == pytest.approx(31, rel=0.15)  # p90 - p10 of noise of 12
    assert not is_misplaced([measured])


def test_values_of_a_region_count_together():
    halves = ROUND.astype(np.uint8)
    halves[:12] *= 2
    labels = Labels({"organ": (1, 2)})
    (whole,) = look([scan()], halves, labels)
    assert whole.voxels == ROUND.sum()


@pytest.mark.parametrize(
    "label_map",
    [
        np.zeros(SHAPE, np.uint8),
        np.pad(np.ones((4, 4, 4), np.uint8), ((9, 11), (20, 36), (20, 36))),  # 64 voxels
        np.pad(np.ones((1, 20, 20), np.uint8), ((0, 23), (20, 20), (20, 20))),  # a slice at the end
        np.ones(SHAPE, np.uint8),
    ],
    ids=["absent", "small", "cut", "everywhere"],
)
def test_what_cannot_be_judged_is_left_out(label_map):
    assert look([scan()], label_map) == []


def test_a_constant_image_says_nothing():
    assert not is_misplaced(look([np.zeros(SHAPE)], ROUND.astype(np.uint8)))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8", "u8"])
def test_every_type_of_label_map_will_do(dtype):
    assert look([scan()], ROUND.astype(dtype)) == look([scan()], ROUND.astype(np.uint8))


def test_targets_that_are_not_annotated_are_left_out():
    labels = Labels({"organ": (1,), "other": (2,)})
    label_map = ROUND.astype(np.uint8)
    label_map[14:, 40:55, 40:55] = 2
    assert [one.target for one in look([scan()], label_map, labels)] == ["organ", "other"]
    assert [one.target for one in look([scan()], label_map, labels, annotated=("other",))] == [
        "other"
    ]


def test_flat_images_are_judged_too():
    grid = Geometry((1, 60, 60))
    image, mask = scan()[12:13], ROUND[12:13]
    assert not is_misplaced(look([image], mask.astype(np.uint8), grid=grid))
    assert is_misplaced(look([image], moved(mask, (0, 14, 10)), grid=grid))


def test_contrast_is_the_statistic_of_kolmogorov_and_smirnov():
    rng = np.random.default_rng(0)
    inside = rng.integers(0, 20, (5, 70)).astype(np.float32)
    shell = rng.integers(5, 30, (5, 40)).astype(np.float32)
    inside[2, 50:] = np.inf  # outside the image
    full, around = np.isfinite(inside).sum(1), np.isfinite(shell).sum(1)
    expected = [
        ks_2samp(a[np.isfinite(a)], b).statistic for a, b in zip(inside, shell, strict=True)
    ]
    assert np.allclose(module._contrast(inside, shell, full, around), expected)


def test_the_shell_is_outside_and_near():
    rng = np.random.default_rng(0)
    found = np.argwhere(ROUND)
    box = tuple(slice(low, high + 1) for low, high in zip(found.min(0), found.max(0), strict=True))
    samples = module._sample(ROUND[box], box, len(found), GRID, rng)
    assert ROUND[tuple(samples.inside.T)].all()
    assert not ROUND[tuple(samples.shell.T)].any()
    gaps = np.linalg.norm((samples.shell[:, None] - found[None]) * GRID.spacing, axis=-1).min(
        axis=1
    )
    radius = (len(found) * 3.0 * 1.5 * 1.5 * 3 / (4 * np.pi)) ** (1 / 3)
    assert gaps.max() <= 0.4 * radius + 0.5 * np.linalg.norm(GRID.spacing)


def test_the_median_of_the_cases_decides_and_the_worst_is_shown():
    good, bad = look([scan()], ROUND.astype(np.uint8)), look([scan()], moved(ROUND))
    assert not is_misplaced([*good, *good, *bad])
    worst = replace(bad[0], case="worst", contrast=0.01)
    (placement,) = place_targets(ORGAN, [*good, *bad, worst])
    assert placement.misplaced
    assert (placement.cases, placement.example) == (3, "worst")
    text = str(blame(placement, "check/organ.png"))
    assert text.startswith(f"labelsTr: class organ: coherence rank {placement.rank:.2f} (median ")
    assert "over 3 cases), spread " in text
    assert (
        "expected rank < 0.05 and spread < 1.5 times that among neighbours, or contrast > 0.2 -> "
        in text
    )
    assert text.endswith("was it moved away from its organ? see check/organ.png")


# --- a real scan ---------------------------------------------------------------------------------

EXAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "totalsegmentator" / "s0000"
SHIFT_XYZ = (16, 13, 12)  # 50, 40, 15 of SegTHOR's voxels, at 3 mm


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the TotalSegmentator example is not here")
@pytest.mark.parametrize("organ", ["liver", "spleen", "kidney_left", "aorta", "iliopsoas_right"])
def test_real_organs_are_found_when_moved_and_not_before(organ):
    image = read_image(EXAMPLE / "ct.nii.gz")
    mask = read_labels(EXAMPLE / "segmentations" / f"{organ}.nii.gz").array[0]
    x, y, _ = np.array(mask.shape[::-1]) * (0.537, 0.391, 0)  # (275, 200, 0) of 512 x 512
    matrix = segthor_matrix((x, y, 0), SHIFT_XYZ)
    labels = Labels({organ: (1,)})
    untouched = measure_coherence("s0000", image, mask, labels, labels.names)
    moved = measure_coherence("s0000", image, move_label(mask, 1, matrix), labels, labels.names)
    assert not is_misplaced(untouched, labels)
    assert is_misplaced(moved, labels)


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the TotalSegmentator example is not here")
@pytest.mark.parametrize("organ", ["colon", "hip_left", "pancreas", "vertebrae_L3", "stomach"])
def test_real_organs_of_many_tissues_are_left_in_peace(organ):
    image = read_image(EXAMPLE / "ct.nii.gz")
    mask = read_labels(EXAMPLE / "segmentations" / f"{organ}.nii.gz").array[0]
    labels = Labels({organ: (1,)})
    assert not is_misplaced(measure_coherence("s0000", image, mask, labels, labels.names), labels)
