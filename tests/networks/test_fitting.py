"""Images that are fitted to a network come back where they were."""

import pytest
import torch

from autoseg.networks.fitting import fit, unfit


@pytest.mark.parametrize(
    ("size", "flat", "fitted"),
    [
        ((1, 7, 16), True, (8, 16)),
        ((1, 1, 9), True, (8, 16)),
        ((5, 8, 17), False, (8, 8, 24)),
        ((8, 16, 8), False, (8, 16, 8)),
    ],
)
def test_what_was_fitted_comes_back_voxel_for_voxel(
    size: tuple[int, int, int], flat: bool, fitted: tuple[int, ...]
) -> None:
    image = torch.randn(2, 3, *size)
    x, place = fit(image, 8, flat)
    assert tuple(x.shape[2:]) == fitted
    assert torch.equal(unfit(x, place, flat), image)
    assert float(x.abs().sum()) == pytest.approx(float(image.abs().sum()), rel=1e-5)


def test_zeros_lie_on_both_sides() -> None:
    x, _ = fit(torch.ones(1, 1, 1, 1, 5), 8, flat=True)
    assert x[0, 0, :, 2].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert x[0, 0, 3].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
