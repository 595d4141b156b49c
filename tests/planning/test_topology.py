"""Strides and kernels: the known hippocampus answer, flat kernels, and laws over random grids."""

from math import prod

import numpy as np

from autoseg.planning.topology import make_topology, shrink_to_fit


def test_hippocampus_is_halved_three_times_per_axis():
    topology = make_topology((1, 1, 1), (36, 50, 35))
    assert topology.patch_size == (40, 56, 40)
    assert topology.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert topology.kernels == ((3, 3, 3),) * 4


def test_thick_slices_are_neither_halved_nor_convolved_at_first():
    topology = make_topology((5.0, 1.0, 1.0), (16, 128, 128))
    assert topology.kernels[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))
    assert topology.strides[1:4] == ((1, 2, 2), (1, 2, 2), (2, 2, 2))


def test_a_last_axis_needs_twelve_voxels_to_be_halved_alone():
    assert make_topology((1, 1), (8, 12)).divisors == (2, 2)
    assert make_topology((1, 1), (7, 11)).divisors == (1, 1)
    assert make_topology((1, 1), (7, 12)).divisors == (1, 2)


def test_strides_divide_the_patch_and_leave_four_voxels():
    rng = np.random.default_rng(0)
    for _ in range(200):
        spacing, size = np.exp(rng.normal(size=3)), rng.integers(4, 300, 3)
        topology = make_topology(spacing, size)
        for axis in range(3):
            edge = topology.patch_size[axis]
            assert edge % topology.divisors[axis] == 0
            assert size[axis] <= edge < size[axis] + topology.divisors[axis]
            assert edge / topology.divisors[axis] >= 4
        assert topology.kernels[-1] == (3, 3, 3)


def test_shrinking_takes_from_the_edge_that_covers_most_and_misses_no_size():
    seen = []

    def too_large(topology):
        seen.append(topology.patch_size)
        return prod(topology.patch_size) > 150 * 150

    shrink_to_fit((1, 1), (256, 512), (256, 256), too_large)
    assert seen[:3] == [(256, 256), (224, 256), (192, 256)]
