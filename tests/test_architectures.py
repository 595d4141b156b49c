"""Networks by name as numbers: what a plan gets, what options mean, what is refused."""

import dataclasses

import pytest

from autoseg.architectures import (
    ARCHITECTURES,
    for_patch,
    is_of_one_size,
    make_spec,
    options_of,
    with_network,
)
from autoseg.bundle import trained_design
from autoseg.config import TrainConfig
from autoseg.errors import CorruptError, UsageError
from autoseg.network_options import ACTIVATIONS, EnetOptions, UnetrOptions
from autoseg.networks import NETWORKS
from autoseg.networks.enet import ACTIVATIONS as BUILT
from autoseg.plan import Design, NetworkSpec
from autoseg.plan_file import check_design, load_plan, save_plan
from autoseg.records import from_json, to_json
from tests.workflows.prepared import make_plan

UNET = NetworkSpec(
    "plain_unet",
    (16, 32, 64),
    ((1, 1, 1), (1, 2, 2), (1, 2, 2)),
    ((1, 3, 3),) * 3,
    (2, 2, 2),
    (2, 2),
)
FLAT = Design((1, 40, 56), 4, UNET)
DEEP = dataclasses.replace(FLAT, patch_size=(16, 40, 56))


def test_every_network_that_can_be_built_is_known_before() -> None:
    assert ARCHITECTURES.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_spec_fits_the_planned_patch_and_survives_json(name: str) -> None:
    spec = make_spec(name, None, FLAT)
    check_design(dataclasses.replace(FLAT, network=spec), name)
    assert spec.name == name
    assert from_json(NetworkSpec, to_json(spec)) == spec


def test_options_are_numbers_of_the_spec() -> None:
    spec = make_spec("enet", "features=8, factor=2, activation=gelu", FLAT)
    assert spec.features == (8,)
    assert spec.options == {"factor": 2, "dropout": 0.1, "activation": "gelu"}
    assert options_of(spec, EnetOptions) == EnetOptions(8, 2, 0.1, "gelu")


def test_the_plans_own_network_stays_as_it_is_and_writes_no_options() -> None:
    spec = make_spec("plain_unet", None, FLAT)
    assert spec == UNET
    assert "options" not in to_json(spec)


def test_a_residual_network_of_the_plan_has_nnunets_blocks_or_those_asked_for() -> None:
    spec = make_spec("residual_unet", None, FLAT)
    assert (spec.encoder_blocks, spec.decoder_blocks) == ((1, 3, 4), (1, 1))
    assert (spec.strides, spec.kernels, spec.features) == (
        UNET.strides,
        UNET.kernels,
        UNET.features,
    )
    asked = make_spec("residual_unet", "features=30,blocks=2", FLAT)
    assert (asked.features, asked.encoder_blocks) == ((30, 60, 64), (2, 2, 2))


def test_a_transformer_is_built_for_the_patch_and_the_others_for_any_size() -> None:
    spec = make_spec("unetr", None, DEEP)
    assert tuple(spec.options["image"]) == DEEP.patch_size
    one_size = {name for name in ARCHITECTURES if is_of_one_size(make_spec(name, None, FLAT))}
    assert one_size == {"unetr"}
    own = make_spec("my_lab.nets:small", "depth=3", FLAT)
    assert is_of_one_size(own)
    assert (own.features, own.options) == (UNET.features, {"depth": "3"})


@pytest.mark.parametrize(
    ("name", "options", "design", "said"),
    [
        ("enett", None, FLAT, "unknown network 'enett'.*enet"),
        ("enet", None, DEEP, "enet sees slices only.*2d"),
        ("enet", "featurs=8", FLAT, "enet has no 'featurs'.*features"),
        ("enet", "features=big", FLAT, "features=big of enet.*int"),
        ("enet", "features", FLAT, "network_options=features.*name=value"),
        ("enet", "activation=swosh", FLAT, "activation=swosh.*prelu"),
        ("enet", "dropout=1", FLAT, "dropout=1.0.*below 1"),
        ("enet", "features=2", FLAT, "features=2.*factor=4"),
        ("lwunet", "features=0", FLAT, "features=0.*1 or more"),
        ("lwunet", "dilation=0", FLAT, "dilation=0.*1 or more"),
        ("unetr", "heads=5", FLAT, "hidden=768.*multiple of heads=5"),
        ("unetr", "image=8x8x8", FLAT, "unetr has no 'image'"),
        ("unetr", "norm=layer", FLAT, "norm=layer.*instance or batch"),
        ("efficientnet_unet", "encoder=resnet", FLAT, "encoder=resnet.*efficientnet-b0"),
        ("scse_unet", "reduction=0", FLAT, "reduction=0.*1 or more"),
        ("plain_unet", "features=0", FLAT, "features=0.*1 or more"),
        ("my_lab.nets:small", "depth", FLAT, "network_options=depth.*name=value"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    name: str, options: str | None, design: Design, said: str
) -> None:
    with pytest.raises(UsageError, match=f"(?s){said}"):
        make_spec(name, options, design)


def test_options_that_came_with_a_model_are_checked() -> None:
    spec = make_spec("enet", None, FLAT)
    for options in ({"factor": "four"}, {"colour": 3}, {"dropout": 2.0}):
        with pytest.raises(CorruptError, match=r"enet\.options"):
            options_of(dataclasses.replace(spec, options=options), EnetOptions)


def test_another_network_is_a_size_of_its_own(tmp_path) -> None:
    plan = make_plan()
    changed, size = with_network(plan, "3d_fullres", "S", "residual_unet", None)
    assert size == "S-residual_unet"
    assert changed.configuration("3d_fullres").design("S") == plan.configuration(
        "3d_fullres"
    ).design("S")
    save_plan(tmp_path / "plan.json", changed)
    assert load_plan(tmp_path / "plan.json") == changed
    assert with_network(plan, "3d_fullres", "S", "plain_unet", None) == (plan, "S")
    assert with_network(plan, "3d_fullres", "S", None, None) == (plan, "S")
    _, own = with_network(plan, "3d_fullres", "S", "my_lab.nets:small", None)
    assert own == "S-small"


def test_the_patch_that_a_training_sets_is_the_one_a_transformer_is_built_for() -> None:
    plan, size = with_network(make_plan(), "3d_fullres", "S", "unetr", None)
    design = trained_design(plan, "3d_fullres", size, TrainConfig(patch_size=(16, 8, 8)))
    assert options_of(design.network, UnetrOptions).image == (16, 8, 8)
    named = dataclasses.replace(UNET, name="unetr")  # by hand in the plan
    assert options_of(for_patch(named, (1, 8, 8)), UnetrOptions).image == (1, 8, 8)
    assert for_patch(UNET, (1, 8, 8)) is UNET


def test_options_alone_belong_to_no_network() -> None:
    with pytest.raises(UsageError, match="network_options=features=8 without a network"):
        with_network(make_plan(), "3d_fullres", "S", None, "features=8")


def test_every_activation_that_may_be_named_can_be_built() -> None:
    assert set(ACTIVATIONS) == set(BUILT)
