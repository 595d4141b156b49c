"""The fingerprint against straightforward sums over all voxels at once."""

import numpy as np
import pytest

from autoseg.image import Geometry, Image
from autoseg.labels import Labels
from autoseg.planning.fingerprint import combine, measure_case, quantile_count
from autoseg.records import to_json
from tests.synthetic import small_phantom

LABELS = Labels({"organ": (1, 2), "tumour": (2,)}, ignore=9)


def scan(array, spacing=(1.0, 1.0, 1.0), direction=None):
    array = np.asarray(array, dtype=np.float32)
    geometry = Geometry(array.shape[1:], spacing)
    if direction is not None:
        geometry = Geometry(array.shape[1:], spacing, direction=tuple(direction))
    return Image(array, geometry)


def test_shape_and_volumes_are_those_a_hand_counts():
    array = np.zeros((1, 6, 7, 8))
    array[0, 1:5, 2:4, 3:8] = 5
    label_map = np.zeros((6, 7, 8), int)
    label_map[2, 2, 3:6] = (1, 1, 2)
    label_map[3, 2, 3] = 9
    measure = measure_case("a", scan(array, (2.0, 1.0, 0.5)), label_map, LABELS)
    assert measure.shape == (4, 2, 5)
    assert measure.kept_fraction == 40 / 336
    assert measure.target_volumes_ml == pytest.approx({"organ": 0.003, "tumour": 0.001})
    assert measure.channels[0].mean == 5  # the ignored voxel does not count


def test_a_turned_scan_is_measured_in_canonical_orientation():
    array = np.ones((1, 3, 4, 5))
    # array axes (Z, Y, X) lie along world (x, z, y)
    direction = (0, 1, 0, 0, 0, 1, 1, 0, 0)
    measure = measure_case("a", scan(array, (3.0, 2.0, 1.0), direction), None, LABELS)
    assert measure.shape == (4, 5, 3)
    assert measure.spacing == (2.0, 1.0, 3.0)


def test_statistics_are_those_of_all_cases_with_equal_weight():
    rng = np.random.default_rng(0)
    measures, samples = [], []
    for i, size in enumerate((8, 12, 20, 16)):
        array = rng.normal(i, 1 + i, (2, size, size, size)).astype(np.float32)
        label_map = (rng.random((size, size, size)) < 0.3).astype(np.uint8)
        measures.append(measure_case(f"c{i}", scan(array), label_map, LABELS))
        samples.append(rng.choice(array[1][label_map > 0], 400_000))
    pooled = np.concatenate(samples)
    stats = combine(measures, ("a", "b"), LABELS).intensities[1]
    assert stats.mean == pytest.approx(pooled.mean(), abs=0.02)
    assert stats.std == pytest.approx(pooled.std(), rel=0.005)
    assert stats.p0_5 == pytest.approx(np.percentile(pooled, 0.5), abs=0.1)
    assert stats.p99_5 == pytest.approx(np.percentile(pooled, 99.5), abs=0.25)


def test_the_order_of_cases_does_not_matter():
    rng = np.random.default_rng(1)
    measures = [
        measure_case(f"c{i}", scan(rng.random((1, 5, 5, 5))), np.ones((5, 5, 5), int), LABELS)
        for i in range(4)
    ]
    assert combine(measures, ("MR",), LABELS) == combine(measures[::-1], ("MR",), LABELS)


def test_what_is_usual_is_noted_and_tells_of_no_case():
    label_map = np.zeros((5, 5, 5), int)
    label_map[0, 1:3, 1:3] = 1
    rng = np.random.default_rng(1)
    measures = [
        measure_case(
            f"secret{i}", scan(1 + rng.random((1, 5, 5, 5)), (i, 1.0, 1.0)), label_map, LABELS
        )
        for i in (1.0, 2.0, 3.0)
    ]
    usual = combine(measures, ("MR",), LABELS).usual
    assert usual.cases == 3
    assert usual.grid["voxel z"] == pytest.approx((1.02, 2, 2.98))
    assert usual.channels[0]["p1"][0] > 1
    assert usual.sections["organ"].near[0] == 4.0
    assert usual.sections["organ"].faces == (4.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert "tumour" not in usual.sections
    assert "secret" not in str(to_json(usual))


def test_memory_stays_flat_however_many_cases():
    assert quantile_count(10) == 1000
    assert quantile_count(10_000) == 200
    assert quantile_count(10_000) * 10_000 <= 2_000_000


def test_units_that_do_not_fit_the_name_are_pointed_out():
    ct, _ = small_phantom()
    label_map = np.ones(ct.array.shape[1:], int)

    def warnings_for(arrays, name):
        measures = [
            measure_case(f"c{i}", Image(array, ct.geometry), label_map, LABELS)
            for i, array in enumerate(arrays)
        ]
        return " ".join(combine(measures, (name,), LABELS).warnings)

    hounsfield, shifted = ct.array.astype(np.float32), ct.array + 1024.0
    assert "channel" not in warnings_for([hounsfield], "T1") + warnings_for([hounsfield], "CT")
    assert "named CT, but 1 of 1 scans cannot be" in warnings_for([shifted], "CT")
    assert "channel" not in warnings_for([shifted], "PET")
    found = warnings_for([hounsfield] * 12 + [shifted], "scan")
    assert "channel scan of c12: values from 0 to" in found
    assert "tumour occurs in no case" in warnings_for([hounsfield], "CT")


def test_a_case_without_foreground_does_not_weigh():
    empty = measure_case("a", scan(np.ones((1, 4, 4, 4))), np.zeros((4, 4, 4), int), LABELS)
    full = measure_case("b", scan(7 * np.ones((1, 4, 4, 4))), np.ones((4, 4, 4), int), LABELS)
    stats = combine([empty, full], ("MR",), LABELS).intensities[0]
    assert (stats.mean, stats.std, stats.minimum, stats.maximum) == (7, 0, 7, 7)
    assert combine([empty], ("MR",), LABELS).intensities[0].std == 1
