"""What nnU-Net's plans say becomes a plan of ours, or is refused by name."""

import copy

import pytest

from autoseg.errors import DataError
from autoseg.image import RAS, STORED
from autoseg.labels import Labels
from autoseg.plan import IntensityStats
from autoseg.plan_file import check_plan
from autoseg.sharing.nnunet_plans import SIZE, read_plan
from tests.sharing.nnunet_folders import DATASET, make_plans

PLACES = ("plans.json", "dataset.json")


def read(plans=None, dataset=None, configuration="3d_fullres"):
    return read_plan(plans or make_plans(), dataset or DATASET, configuration, None, PLACES)


def test_every_number_arrives_where_it_belongs():
    plan = read()
    row = plan.configurations["3d_fullres"]
    design = row.sizes[SIZE]
    network = design.network
    assert (plan.dataset, plan.channels, plan.file_ending) == (
        "Dataset004_Toy",
        ("MRI",),
        ".nii.gz",
    )
    assert plan.axis_order == (2, 0, 1)
    assert plan.orientation == STORED
    assert plan.intensities == (IntensityStats(4.0, 1.5, 2.0, 8.0, 1.0, 9.0),)
    assert (row.spacing, row.median_shape) == ((3.0, 1.0, 0.5), (9, 20, 18))
    assert (row.normalizers, row.mask_normalization, row.batch_dice) == (
        ("zscore",),
        (False,),
        True,
    )
    assert (design.patch_size, design.batch_size) == ((8, 16, 16), 2)
    assert (network.name, network.features) == ("plain_unet", (4, 6, 6))
    assert network.strides == ((1, 1, 1), (2, 2, 2), (1, 2, 2))
    assert network.kernels == ((1, 3, 3), (3, 3, 3), (3, 3, 3))
    assert network.encoder_blocks == (1, 2, 1)
    assert network.decoder_blocks == (2, 1)  # theirs start at the coarsest
    check_plan(plan)


def test_a_2d_configuration_is_a_patch_of_one_slice_that_keeps_its_spacing():
    plan = read(make_plans("residual", 2, "2d"), configuration="2d")
    row = plan.configurations["2d"]
    assert row.is_2d
    assert row.spacing == (None, 1.0, 0.5)
    assert row.sizes[SIZE].patch_size == (1, 16, 16)
    assert row.sizes[SIZE].network.kernels[1] == (1, 3, 3)
    assert row.sizes[SIZE].network.name == "residual_unet"
    check_plan(plan)


def test_targets_come_in_the_order_of_the_outputs_whatever_the_file_lists_first():
    assert read().labels.targets == {"anterior": (1,), "posterior": (2,)}
    assert list(read().labels.targets) == ["anterior", "posterior"]


def test_regions_keep_the_order_of_the_file_and_what_is_written_for_each():
    dataset = DATASET | {
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3},
        "regions_class_order": [1, 2, 3],
    }
    labels = read(dataset=dataset).labels
    assert labels.targets == {"whole": (1, 2, 3), "core": (2, 3), "active": (3,)}
    assert not labels.exclusive


def test_the_ignore_label_is_not_a_target():
    dataset = DATASET | {"labels": {"background": 0, "organ": 1, "ignore": 2}}
    assert read(dataset=dataset).labels == Labels({"organ": (1,)}, ignore=2)


@pytest.mark.parametrize(
    ("reader", "orientation"),
    [("NibabelIO", STORED), ("NaturalImage2DIO", STORED), ("SimpleITKIOWithReorient", RAS)],
)
def test_scans_are_turned_as_the_reader_turned_them(reader, orientation):
    assert read(make_plans() | {"image_reader_writer": reader}).orientation == orientation


def test_left_and_right_are_not_exchanged_in_mirror_images():
    dataset = DATASET | {"labels": {"background": 0, "lung_left": 1, "lung_right": 2}}
    plan = read(dataset=dataset)
    assert plan.labels.pairs
    assert plan.left_right_axis is None


def test_what_a_configuration_inherits_is_filled_in():
    plans = make_plans()
    plans["configurations"]["mine"] = {"inherits_from": "3d_fullres", "batch_size": 5}
    plan = read(plans, configuration="mine")
    assert plan.configurations["mine"].sizes[SIZE].batch_size == 5
    assert plan.configurations["mine"].sizes[SIZE].patch_size == (8, 16, 16)


def test_plans_of_before_version_2_5_are_read():
    plans = make_plans()
    row = plans["configurations"]["3d_fullres"]
    arguments = row.pop("architecture")["arch_kwargs"]
    row |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 6,
        "n_conv_per_stage_encoder": arguments["n_conv_per_stage"],
        "n_conv_per_stage_decoder": arguments["n_conv_per_stage_decoder"],
        "conv_kernel_sizes": arguments["kernel_sizes"],
        "pool_op_kernel_sizes": arguments["strides"],
        "num_pool_per_axis": [1, 2, 2],
    }
    new = read().configurations["3d_fullres"]
    assert read(plans).configurations["3d_fullres"] == new


def make_cascade_plans():
    plans = make_plans()
    rows = plans["configurations"]
    rows["3d_lowres"] = rows["3d_fullres"] | {"spacing": [3.0, 2.0, 1.0]}
    rows["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    return plans


def test_a_cascade_brings_its_first_stage():
    plan = read(make_cascade_plans(), configuration="3d_cascade_fullres")
    assert list(plan.configurations) == ["3d_lowres", "3d_cascade_fullres"]
    assert plan.configurations["3d_cascade_fullres"].previous == "3d_lowres"
    assert plan.configurations["3d_lowres"].spacing == (3.0, 2.0, 1.0)
    check_plan(plan)


def test_a_cascade_of_regions_is_refused():
    dataset = DATASET | {
        "labels": {"background": 0, "whole": [1, 2], "core": 2},
        "regions_class_order": [1, 2],
    }
    with pytest.raises(DataError, match="mask of each value, not region -> cascades of regions"):
        read(make_cascade_plans(), dataset, "3d_cascade_fullres")


ROW = ("configurations", "3d_fullres")
NETWORK = (*ROW, "architecture", "arch_kwargs")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("image_reader_writer",),
            "MyIO",
            "image_reader_writer is 'MyIO', expected SimpleI",
        ),
        (("transpose_forward",), [0, 0, 1], "transpose_forward is .0, 0, 1., expected 0, 1, 2"),
        (("transpose_forward",), 3, "plans.json: is mistyped"),
        (("configurations",), {}, "configuration '3d_fullres' is not in it"),
        ((*ROW, "inherits_from"), "3d_fullres", "configuration '3d_fullres' inherits from itself"),
        ((*ROW, "previous_stage"), "3d_lowres", "configuration '3d_lowres' is not in it"),
        ((*ROW, "preprocessor_name"), "Mine", "preprocessor_name is 'Mine', expected DefaultPre"),
        ((*ROW, "normalization_schemes"), ["Mine"], "normalization is 'Mine', expected CTNorm"),
        ((*ROW, "resampling_fn_data"), "torch", "resampling_fn_data is 'torch', expected resample"),
        (
            (*ROW, "resampling_fn_probabilities_kwargs"),
            {"order": 3, "order_z": 1},
            "probabilities_kwargs has order 3, order_z 1, expected order 1, order_z 0",
        ),
        ((*ROW, "batch_size"), None, "plans.json: is mistyped"),
        ((*ROW, "architecture"), {"arch_kwargs": {}}, "misses 'network_class_name'"),
        ((*ROW, "architecture", "network_class_name"), "x.Primus", "the network is x.Primus, exp"),
        ((*NETWORK, "nonlin"), "torch.nn.ReLU", "arch_kwargs.nonlin is 'ReLU', expected LeakyR"),
        ((*NETWORK, "norm_op"), "torch.nn.BatchNorm3d", "norm_op is 'BatchNorm3d', expected Inst"),
        (
            (*NETWORK, "norm_op_kwargs"),
            {"eps": 1e-3},
            "norm_op_kwargs.eps is 0.001, expected 1",
        ),
        ((*NETWORK, "nonlin_kwargs"), {"negative_slope": 0.2}, "negative_slope is 0.2, expected 0"),
        ((*NETWORK, "nonlin_first"), True, "nonlin_first is True, expected None or False"),
        ((*NETWORK, "squeeze_excitation"), True, "squeeze_excitation is True, expected no such"),
        (
            (*NETWORK, "n_stages"),
            10**9,
            "n_stages holds 1000000000 to 1000000000, expected 1 to 12",
        ),
        ((*NETWORK, "n_conv_per_stage"), [1, 2], r"n_conv_per_stage is \[1, 2\], expected 3 whole"),
        ((*NETWORK, "features_per_stage"), 10**9, "features_per_stage holds 1000000000"),
        ((*NETWORK, "strides"), [[1, 1]] * 3, "arch_kwargs.strides is .* expected 3 times 3 whole"),
    ],
)
def test_what_cannot_be_done_alike_is_refused_by_name(path, value, message):
    plans = copy.deepcopy(make_plans())
    part = plans
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(DataError, match=message) as caught:
        read(plans)
    assert str(caught.value).startswith("plans.json")


@pytest.mark.parametrize(
    ("labels", "order", "message"),
    [
        ({"background": 0, "a": 1, "b": 3}, None, "label values are 1, 3, expected 1, 2, 3, ..."),
        ({"background": 0, "a": [1, 2], "b": 3}, [1, 3], "regions do not overlap"),
        ({"a": 1}, None, "no background with value 0"),
    ],
)
def test_labels_that_nnunet_scores_otherwise_are_refused(labels, order, message):
    dataset = DATASET | {"labels": labels} | ({"regions_class_order": order} if order else {})
    with pytest.raises(DataError, match=message):
        read(dataset=dataset)


def test_intensities_of_every_channel_are_needed():
    dataset = DATASET | {"channel_names": {"0": "T1", "1": "T2"}}
    with pytest.raises(DataError, match="misses intensity properties of 2 channels"):
        read(dataset=dataset)
