"""The table of nnU-Net's trainers in the documentation: every setting there is accepted."""

import re
from pathlib import Path

import pytest
from torch import nn

from autoseg.config import TrainConfig, override
from autoseg.labels import Labels
from autoseg.training.augmentation import AUGMENTATIONS
from autoseg.training.losses import build_loss
from autoseg.training.optim import make_optimizer
from autoseg.training.sampling import SAMPLERS
from autoseg.training.schedules import SCHEDULES
from autoseg.training.settings import check_ranges

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-nnunet.md"
TABLE = PAGE.read_text(encoding="utf-8").partition("### Trainers")[2].partition("\n## ")[0]
SETTINGS = sorted(set(re.findall(r"`--set ([^`]+)`", TABLE)))


def test_the_table_is_found():
    assert len(SETTINGS) >= 20


@pytest.mark.parametrize("words", SETTINGS)
def test_the_value_for_a_trainer_is_accepted(words):
    config = override(TrainConfig(), words.split())
    check_ranges(config)
    build_loss(config, Labels({"liver": (1,)}))
    make_optimizer(nn.Conv3d(1, 2, 3), config)
    for name, known in (
        (config.schedule, SCHEDULES),
        (config.sampler, SAMPLERS),
        (config.augmentation, AUGMENTATIONS),
    ):
        assert name is None or name in known
    assert config != TrainConfig()
