"""Value indices become one mask per target, whatever targets share."""

import numpy as np
import torch

from autoseg.labels import Labels
from autoseg.networks.cascade import append_masks


def members_of(labels: Labels) -> torch.Tensor:
    return torch.from_numpy(labels.membership.T.copy())


def test_exclusive_targets_become_a_one_hot_code_without_background() -> None:
    labels = Labels({"b": (7,), "a": (2, 5)})
    image = torch.rand(1, 2, 1, 1, 4)
    indices = torch.from_numpy(labels.encode(np.array([[[[0, 2, 5, 7]]]])))
    found = append_masks(image, indices, members_of(labels))
    assert torch.equal(found[:, :2], image)
    assert found[0, 2:, 0, 0].tolist() == [[0, 0, 0, 1], [0, 1, 1, 0]]
    assert found.dtype == torch.float32


def test_overlapping_targets_keep_their_masks() -> None:
    labels = Labels({"whole": (1, 2), "core": (2,)})
    indices = torch.tensor([[[[0, 1, 2]]]], dtype=torch.int16)
    found = append_masks(torch.zeros(1, 1, 1, 1, 3), indices, members_of(labels))
    assert found[0, 1:, 0, 0].tolist() == [[0, 1, 1], [0, 0, 1]]


def test_indices_may_come_as_a_channel_of_floats() -> None:
    labels = Labels({"a": (1,), "b": (2,)})
    image = torch.tensor([[[[[5.0, 6.0]]], [[[2.0, 1.0]]]]])
    found = append_masks(image[:, :1], image[:, 1], members_of(labels))
    assert found[0, :, 0, 0].tolist() == [[5, 6], [0, 1], [1, 0]]
