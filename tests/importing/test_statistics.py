"""Statistics of a case and of a dataset: against NumPy on the voxels themselves."""

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset
from autoseg.image import Geometry, Image
from autoseg.importing import distribution
from autoseg.importing.distribution import KEPT, distribution_of, intensities_of, pooled, thinned
from autoseg.importing.statistics import measure, summarise
from autoseg.labels import Labels

SHAPE = (6, 8, 7)
GRID = Geometry(SHAPE, (2.0, 1.0, 0.5))
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,), "cyst": (4,)}, ignore=9)


def dataset_of(labels=REGIONS, channels=("CT",), cases=()):
    return Dataset("D", None, channels, labels, tuple(cases), ".nii.gz")


def scan(seed, dtype=np.int16, channels=1):
    rng = np.random.default_rng(seed)
    array = rng.normal(40, 60, (channels, *SHAPE)).astype(dtype)
    return Image(array, GRID), rng.choice([0, 1, 2, 9], SHAPE, p=[0.4, 0.3, 0.2, 0.1])


def by_hand(voxels):
    voxels = voxels.astype(np.float64)
    quantiles = np.percentile(voxels, (10, 50, 90))
    return [voxels.mean(), voxels.std(), voxels.min(), *quantiles, voxels.max()]


def numbers(found):
    names = ("mean", "std", "minimum", "p10", "median", "p90", "maximum")
    return [getattr(found, name) for name in names]


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_a_case_is_measured_as_numpy_would(dtype):
    image, label_map = scan(0, dtype, channels=2)
    case = Case("a", (), group="p1", tags=("control",))
    found = measure(case, image, label_map, dataset_of(channels=("CT", "PET"))).case
    assert (found.shape, found.spacing, found.slices, found.voxels) == (SHAPE, GRID.spacing, 6, 336)
    assert (found.group, found.tags) == ("p1", ("control",))
    for index, channel in enumerate(("CT", "PET")):
        whole = numbers(found.intensities[channel])
        np.testing.assert_allclose(whole, by_hand(image.array[index]), rtol=1e-9)
        for name, values in (("kidney", (1, 2)), ("tumour", (2,))):
            mask = np.isin(label_map, values)
            target = found.targets[name]
            assert target.voxels == mask.sum()
            assert target.volume_ml == pytest.approx(mask.sum() / 1000)
            assert target.slices == mask.any((1, 2)).sum()
            ours = numbers(target.intensities[channel])
            np.testing.assert_allclose(ours, by_hand(image.array[index][mask]), rtol=1e-9)


def test_a_target_without_voxels_has_no_intensities():
    image, label_map = scan(1)
    cyst = measure(Case("a", ()), image, label_map, dataset_of()).case.targets["cyst"]
    assert (cyst.voxels, cyst.volume_ml, cyst.slices, cyst.intensities) == (0, 0.0, 0, {})


def test_what_is_not_annotated_is_not_measured():
    image, label_map = scan(2)
    case = Case("a", (), annotated=("tumour",))
    assert list(measure(case, image, label_map, dataset_of()).case.targets) == ["tumour"]


def test_slices_are_axial_however_the_scan_is_stored():
    label_map = np.zeros(SHAPE, int)
    label_map[2, :5, 3] = 1  # five places along Y, which here leads to the head
    direction = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # rows: world z, y, x
    image = Image(np.zeros((1, *SHAPE), np.int16), Geometry(SHAPE, direction=direction))
    found = measure(Case("a", ()), image, label_map, dataset_of()).case
    assert (found.slices, found.targets["kidney"].slices) == (8, 5)
    assert found.shape == SHAPE


def test_all_cases_together_are_one_heap_of_voxels():
    scans = [scan(seed) for seed in range(4)]
    scans[3] = (scans[3][0], np.zeros(SHAPE, int))
    cases = [Case("c", ()), Case("a", ()), Case("b", (), annotated=("kidney",)), Case("d", ())]
    data = dataset_of()
    found = summarise(
        (measure(case, *pair, data) for case, pair in zip(cases, scans, strict=True)), data
    )
    assert [case.case for case in found.cases] == ["a", "b", "c", "d"]
    kidney, tumour, cyst = (found.targets[name] for name in data.labels.names)
    heap = np.concatenate([i.array[0][np.isin(m, (1, 2))] for i, m in scans])
    np.testing.assert_allclose(numbers(kidney.intensities["CT"]), by_hand(heap), rtol=1e-9)
    assert kidney.intensities["CT"].exact
    assert (kidney.annotated, kidney.cases, kidney.voxels) == (4, 3, heap.size)
    assert kidney.share == pytest.approx(heap.size / (4 * 336))
    assert (kidney.slices, kidney.of_slices) == (18, 24)
    heap = np.concatenate([scans[i][0].array[0][scans[i][1] == 2] for i in (0, 1)])
    np.testing.assert_allclose(numbers(tumour.intensities["CT"]), by_hand(heap), rtol=1e-9)
    assert (tumour.annotated, tumour.cases, tumour.of_slices) == (3, 2, 18)
    volumes = [(np.isin(m, (1, 2))).sum() / 1000 for _, m in scans[:3]]
    assert kidney.volume_ml.median == pytest.approx(np.median(volumes))
    assert kidney.volume_ml.mean == pytest.approx(np.mean(volumes))
    assert (cyst.cases, cyst.volume_ml, cyst.intensities) == (0, None, {})
    assert found.spacing[2].median == 0.5
    assert (found.slices.minimum, found.slices.maximum) == (6, 6)


def test_of_many_different_numbers_quantiles_over_cases_are_close_and_say_so():
    rng = np.random.default_rng(5)
    heaps = [rng.normal(mean, 1, KEPT + 1000) for mean in (0, 3, 8)]
    whole = distribution_of(heaps[0])
    assert whole.exact  # of one case everything is exact
    np.testing.assert_allclose(numbers(intensities_of(whole)), by_hand(heaps[0]), rtol=1e-9)
    found = thinned(whole)
    for heap in heaps[1:]:
        found = pooled(found, thinned(distribution_of(heap)))
    ours, theirs = intensities_of(found), by_hand(np.concatenate(heaps))
    assert not ours.exact
    np.testing.assert_allclose(numbers(ours)[:3], theirs[:3], rtol=1e-9)  # mean, deviation, least
    np.testing.assert_allclose(numbers(ours), theirs, atol=2e-3)


def test_distributions_stay_small(monkeypatch):
    monkeypatch.setattr(distribution, "KEPT", 50)
    monkeypatch.setattr(distribution, "THINNED", 20)
    found = thinned(distribution_of(np.arange(40)))
    for start in range(0, 4000, 40):
        found = pooled(found, thinned(distribution_of(np.arange(start, start + 40))))
        assert len(found.values) <= 50 + 20
    assert found.voxels == 4040
