import io
import logging
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.engines import PrepareBatchExtraInput, SupervisedTrainer
from monai.networks.utils import convert_to_torchscript
from skimage.draw import disk
from skimage.measure import regionprops
from torch import nn

from medseg_ext.errors import NotFiniteError
from medseg_ext.losses.detection import SumOfLosses
from medseg_ext.networks.efficientnet_lite import EfficientNetLiteEncoder
from medseg_ext.networks.mask_rcnn import MaskRCNN

pytest.importorskip("detectron2")
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from medseg_ext.networks.mask_rcnn_detectron2 import make_config

NUCLEI = ("background", "nucleus")
CELLS = ("background", "cytoplasm", "nucleus")
TINY = [
    "MODEL.FPN.OUT_CHANNELS", 32,
    "MODEL.ROI_BOX_HEAD.FC_DIM", 32,
    "MODEL.ROI_MASK_HEAD.CONV_DIM", 32,
    "MODEL.ROI_MASK_HEAD.NUM_CONV", 1,
    "MODEL.RPN.PRE_NMS_TOPK_TEST", 200,
    "MODEL.RPN.POST_NMS_TOPK_TEST", 60,
]  # fmt: skip
CONFIG = {
    "n_detection_classes": 1,
    "backbone_depth": 18,
    "backbone_width": 32,
    "pretrained": False,
    "anchor_sizes_px": (8, 16, 32, 64, 128),
    "detections_per_image": 500,
    "score_threshold": 0.05,
    "yaml_file": None,
    "overrides": (),
}
ZOO = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"


def tiny_network(class_names: tuple[str, ...] = NUCLEI, **options: object) -> MaskRCNN:
    torch.manual_seed(0)
    options = {
        "backbone_depth": 18,
        "backbone_width": 8,
        "score_threshold": 0.01,
        "inner_score_threshold": 0.0,
    } | options
    network = MaskRCNN(class_names, detectron2_overrides=TINY, **options)
    # As they are initialised, these layers give next to nothing: every score and mask would be on the brink.
    heads = network.detector.model.roi_heads
    for layer, deviation in [
        (heads.mask_head.predictor, 3.0),
        (heads.box_predictor.cls_score, 1.0),
        (heads.box_predictor.bbox_pred, 0.1),
    ]:
        nn.init.normal_(layer.weight, std=deviation)
    return network


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def scene(size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Bright cells with a brighter nucleus, (1, 3, H, W); their label (1, 2, H, W)."""
    label = np.zeros((2, size, size), np.int64)
    for number, center in enumerate([(20, 20), (24, 60), (64, 30), (70, 70)], start=3):
        for index, radius in enumerate((14, 7), start=1):
            rows, columns = disk(center, radius, shape=(size, size))
            label[0, rows, columns] = number * 5
            label[1, rows, columns] = index
    image = torch.from_numpy(label[1] * 0.4 + 0.1).float().expand(3, -1, -1)
    return (image + 0.05 * noise(3, size, size))[None], torch.from_numpy(label)[None]


def detectron2_of(network: MaskRCNN) -> nn.Module:
    model = build_model(network.detector.cfg)
    model.load_state_dict(network.detector.model.state_dict())
    return model


def test_it_finds_what_detectron2_finds():
    network = tiny_network().eval()
    image = noise(1, 3, 100, 75)
    boxes, scores, _, _ = network.detector.detect(image)
    with torch.no_grad():
        dense = network(image)[0]
        theirs = detectron2_of(network).eval()([{"image": image[0] * 255, "height": 100, "width": 75}])[0]["instances"]
    assert len(theirs) > 20
    torch.testing.assert_close(boxes, theirs.pred_boxes.tensor, rtol=0, atol=1e-3)
    torch.testing.assert_close(scores, theirs.scores, rtol=0, atol=1e-6)
    score_map = torch.zeros(100, 75)
    owner = torch.zeros(100, 75, dtype=torch.long)
    for index in theirs.scores.argsort(descending=True):
        mask = theirs.pred_masks[index]
        free = mask & (owner == 0)
        if free.sum() >= 0.5 * mask.sum():  # else it was found before
            score_map[free] = theirs.scores[index]
            owner[free] = index + 1
    torch.testing.assert_close(dense[2], score_map, rtol=0, atol=1e-6)
    # One to one, and not a pixel apart.
    pairs = torch.stack([dense[0].long().flatten(), owner.flatten()]).unique(dim=1)
    assert pairs.shape[1] == len(owner.unique()) == len(dense[0].unique())
    assert dense[0].unique().tolist() == list(range(len(owner.unique())))


def test_colours_are_handed_over_in_the_order_that_the_config_names():
    network = tiny_network(detectron2_config=None).eval()
    image = noise(1, 3, 64, 64)
    expected = network(image)
    network.detector.cfg.defrost()
    network.detector.cfg.INPUT.FORMAT = "BGR"
    assert not torch.equal(network(image), expected)
    assert torch.equal(network(image.flip(1)), expected)


@pytest.mark.parametrize("class_names", [NUCLEI, CELLS], ids=len)
def test_it_learns_from_the_losses_of_detectron2(class_names):
    network = tiny_network(class_names).train()
    image, label = scene()
    theirs = detectron2_of(network).train()
    boxes, classes, masks = [], [], []
    for detection_class, part in enumerate([label[0, 0], label[0, 0] * (label[0, 1] == 2)][: len(class_names) - 1]):
        for region in regionprops(part.numpy()):
            top, left, bottom, right = region.bbox
            boxes.append([left, top, right, bottom])
            classes.append(detection_class)
            masks.append(part == region.label)
    instances = Instances(
        (96, 96),
        gt_boxes=Boxes(torch.tensor(boxes)),
        gt_classes=torch.tensor(classes),
        gt_masks=BitMasks(torch.stack(masks)),
    )
    torch.manual_seed(1)
    ours = network(image, label)
    torch.manual_seed(1)
    with EventStorage():
        expected = theirs([{"image": image[0] * 255, "instances": instances}])
    assert ours.keys() == expected.keys()
    assert set(ours) == {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg", "loss_mask"}
    for name, loss in ours.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-5, atol=1e-6, msg=name)
        assert loss > 0


def test_images_without_objects_are_learnt_from():
    network = tiny_network().train()
    image, label = scene()
    losses = network(torch.cat([image, image]), torch.zeros(2, 2, 96, 96, dtype=torch.int64))
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(weight.grad).all() for weight in network.parameters() if weight.grad is not None)
    losses = network(torch.cat([image, image]), torch.cat([label, torch.zeros_like(label)]))
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_a_trainer_of_monai_trains_it():
    image, label = scene(64)
    batch = {"image": MetaTensor(image), "label": MetaTensor(label)}
    network = tiny_network(CELLS)
    totals = []
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[batch] * 12,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-3),
        loss_function=SumOfLosses(),
        prepare_batch=PrepareBatchExtraInput(extra_keys=["label"]),
    )
    trainer.add_event_handler(
        "ITERATION_COMPLETED", lambda engine: totals.append(float(engine.state.output[0]["loss"]))
    )
    trainer.run()
    assert len(totals) == 12
    assert np.mean(totals[-3:]) < 0.8 * np.mean(totals[:3])


@pytest.mark.parametrize("class_names", [NUCLEI, CELLS], ids=len)
def test_the_probabilities_and_numbers_keep_the_contract(class_names):
    network = tiny_network(class_names).eval()
    dense = network(noise(2, 3, 70, 90))
    assert dense.shape == (2, 1 + len(class_names), 70, 90)
    assert dense.dtype == torch.float32
    for numbers, *probabilities in dense:
        assert numbers.unique().tolist() == list(range(int(numbers.max()) + 1))
        assert numbers.max() > 5
        torch.testing.assert_close(torch.stack(probabilities).sum(dim=0), torch.ones(70, 90))
        assert ((1 - probabilities[0] > 0) == (numbers > 0)).all()
    if len(class_names) == 3:
        assert (dense[:, 3] > 0).any()


def test_an_image_s_objects_do_not_depend_on_its_batch():
    network = tiny_network().eval()
    images = noise(2, 3, 64, 80)
    assert torch.equal(network(images)[1:], network(images[1:]))


@pytest.mark.parametrize("class_names", [NUCLEI, CELLS])
def test_the_exported_network_gives_the_same_at_other_sizes(class_names):
    network = tiny_network(class_names).train()
    file = io.BytesIO()
    exported = convert_to_torchscript(network, file)
    file.seek(0)
    for scripted in (exported, torch.jit.load(file)):
        # Twice each: TorchScript optimises for what it has seen.
        for shape in [(1, 3, 320, 288), (1, 3, 128, 160), (2, 3, 100, 75), (1, 3, 128, 160)]:
            image = noise(*shape, seed=shape[2])
            with torch.no_grad():
                expected = network(image)
                assert expected[:, 0].amax(dim=(1, 2)).min() > 5
                torch.testing.assert_close(scripted(image), expected, rtol=0, atol=1e-5)


def test_an_image_without_detections_is_background_in_both_forms():
    network = tiny_network(CELLS, score_threshold=1.0).eval()
    for form in (network, torch.jit.script(network)):
        dense = form(noise(1, 3, 64, 96))
        assert dense.shape == (1, 4, 64, 96)
        assert (dense[:, 1] == 1).all()
        assert (dense[:, [0, 2, 3]] == 0).all()


def test_exporting_leaves_the_network_as_it_was():
    network = tiny_network().train()
    network.detector.model.backbone.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    random_state = torch.random.get_rng_state()
    torch.jit.script(network)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random_state)
    image, label = scene(64)
    assert all(torch.isfinite(loss) for loss in network(image, label).values())


def test_it_runs_in_half_precision_with_channels_last():
    network = tiny_network(CELLS).to(memory_format=torch.channels_last)
    image, label = scene()
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = network.train()(image, label)
        dense = network.eval()(image)
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert dense.dtype == torch.float32
    assert dense[:, 0].max() > 5


def test_half_precision_does_not_round_the_boxes_that_features_are_pooled_in():
    pooler = detectron2_of(tiny_network()).roi_heads.mask_pooler
    ours = tiny_network().detector.model.roi_heads.mask_pooler
    features = [noise(1, 2, 96 // 2**level, 96 // 2**level, seed=level) for level in range(4)]
    features = [level.bfloat16() for level in features]
    box = Boxes(torch.tensor([[301.0, 299.0, 331.0, 330.0]]))  # in bfloat16, as of 256 px, even numbers only
    precise = pooler([level.float() for level in features], [box])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not torch.allclose(pooler(features, [box]).float(), precise, atol=0.02)
        torch.testing.assert_close(ours(features, [box]), precise)


def test_a_label_is_ignored_in_evaluation_and_needed_in_training():
    network = tiny_network().eval()
    image, label = scene(64)
    assert torch.equal(network(image, label), network(image))
    with pytest.raises(ValueError, match="needs the label"):
        network.train()(image)
    with pytest.raises(ValueError, match=r"\(1, 1, 64, 64\)"):
        network(image, label[:, :1])


def test_the_default_network_is_small():
    network = MaskRCNN(NUCLEI)
    assert sum(weight.numel() for weight in network.parameters()) < 12e6
    file = io.BytesIO()
    torch.save({name: value.half() for name, value in network.state_dict().items()}, file)
    assert file.tell() < 25e6


def test_the_default_backbone_starts_from_imagenet_and_keeps_its_first_levels():
    bottom_up = MaskRCNN(NUCLEI, pretrained=True).train().detector.model.backbone.bottom_up
    expected = EfficientNetLiteEncoder(pretrained=True).eval()
    image = noise(1, 3, 64, 96)
    with torch.no_grad():
        features = bottom_up.eval()((image * 255 - 127) / 128)
        for level, one, other in zip(range(1, 5), features.values(), expected(image)[1:], strict=True):
            assert one.shape[2:] == (64 / 2 / 2**level, 96 / 2 / 2**level)
            torch.testing.assert_close(one, other)
    learns = [all(value.requires_grad for value in level.parameters()) for level in bottom_up.encoder.levels]
    assert learns == [False, False, True, True, True]


@pytest.mark.parametrize("depth", [None, 34, 50])
def test_other_backbones_are_an_option(depth):
    network = tiny_network(backbone_depth=depth).eval()
    assert network(noise(1, 3, 64, 64)).shape == (1, 3, 64, 64)


def test_a_yaml_is_a_delta_and_overrides_have_the_last_word(tmp_path):
    (tmp_path / "base.yaml").write_text("MODEL:\n  FPN:\n    OUT_CHANNELS: 64\n  RPN:\n    NMS_THRESH: 0.8\n")
    file = tmp_path / "mine.yaml"
    file.write_text("_BASE_: base.yaml\nMODEL:\n  ROI_HEADS:\n    NUM_CLASSES: 80\n    NMS_THRESH_TEST: 0.4\n")
    network = MaskRCNN(
        CELLS, backbone_depth=18, backbone_width=8,
        detectron2_config=str(file), detectron2_overrides=["MODEL.FPN.OUT_CHANNELS", 32],
    )  # fmt: skip
    model = network.detector.model
    assert model.proposal_generator.nms_thresh == 0.8
    assert model.roi_heads.box_predictor.test_nms_thresh == 0.4
    assert model.backbone.fpn_output2.out_channels == 32
    assert model.roi_heads.num_classes == 2
    assert model.backbone.bottom_up.stem.conv1.out_channels == 8


def test_a_config_of_the_zoo_keeps_what_its_weights_need():
    cfg = make_config(**CONFIG | {"yaml_file": ZOO, "overrides": ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.2]})
    assert cfg.MODEL.RESNETS.DEPTH == 50
    assert cfg.MODEL.RESNETS.NORM == "FrozenBN"
    assert cfg.MODEL.FPN.OUT_CHANNELS == 256
    assert cfg.MODEL.FPN.NORM == cfg.MODEL.ROI_MASK_HEAD.NORM == ""
    assert cfg.INPUT.FORMAT == "BGR"
    assert cfg.MODEL.PIXEL_MEAN == [103.530, 116.280, 123.675]
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 1
    assert cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 0.2
    assert cfg.TEST.DETECTIONS_PER_IMAGE == 500


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["MODEL.MASK_ON", False], ValueError, "MODEL.MASK_ON must be True"),
        (["MODEL.META_ARCHITECTURE", "RetinaNet"], ValueError, "must be GeneralizedRCNN"),
        (["INPUT.FORMAT", "L"], ValueError, "RGB or BGR"),
        (["MODEL.MASK_ON"], ValueError, "KEY, VALUE"),
        (["MODEL.NO_SUCH_KEY", 1], AssertionError, "NO_SUCH_KEY"),
    ],
)
def test_configs_that_cannot_be_are_refused(overrides, error, message):
    with pytest.raises(error, match=message):
        make_config(**CONFIG | {"overrides": overrides})


@pytest.mark.parametrize("kind", ["C4", "DC5"])
def test_configs_without_a_feature_pyramid_are_refused_by_name(kind):
    name = f"COCO-InstanceSegmentation/mask_rcnn_R_50_{kind}_1x.yaml"
    with pytest.raises(ValueError, match=rf"{name}.*feature pyramid"):
        MaskRCNN(NUCLEI, detectron2_config=name)


def test_weights_of_a_yaml_are_not_loaded(tmp_path):
    file = tmp_path / "delta.yaml"
    file.write_text("MODEL:\n  WEIGHTS: detectron2://R-50.pkl\n")
    bottom_up = MaskRCNN(NUCLEI, pretrained=True, detectron2_config=str(file)).detector.model.backbone.bottom_up
    stem = next(bottom_up.encoder.parameters())
    assert torch.equal(stem, next(EfficientNetLiteEncoder(pretrained=True).parameters()))


def test_a_resnet_warns_that_it_is_not_pretrained(caplog):
    tiny_network(pretrained=True)
    assert "starts at random" in caplog.text


def test_a_missing_config_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        make_config(**CONFIG | {"yaml_file": "nowhere.yaml"})


def test_a_yaml_cannot_run_code(tmp_path):
    file = tmp_path / "evil.yaml"
    file.write_text('OUTPUT_DIR: !!python/object/apply:os.system ["false"]\n')
    with pytest.raises(Exception, match="could not determine a constructor"):
        make_config(**CONFIG | {"yaml_file": str(file)})


def test_weights_of_another_class_count_are_loaded_but_for_the_class_layers(tmp_path, caplog):
    source = tiny_network(NUCLEI)
    file = tmp_path / "nuclei.pth"
    torch.save({"model": source.detector.model.state_dict()}, file)
    torch.manual_seed(1)
    with caplog.at_level(logging.WARNING):
        network = MaskRCNN(CELLS, backbone_depth=18, backbone_width=8, detectron2_overrides=TINY, weights=str(file))
    ours, theirs = network.detector.model, source.detector.model
    assert torch.equal(ours.backbone.bottom_up.stem.conv1.weight, theirs.backbone.bottom_up.stem.conv1.weight)
    assert torch.equal(ours.proposal_generator.rpn_head.conv.weight, theirs.proposal_generator.rpn_head.conv.weight)
    assert ours.roi_heads.box_predictor.cls_score.out_features == 3
    assert "roi_heads.box_predictor.cls_score.weight" in caplog.text


def test_weights_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        tiny_network(weights=str(tmp_path / "none.pth"))

    def offline(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("detectron2.utils.file_io.PathManager.get_local_path", offline)
    with pytest.raises(FileNotFoundError, match=r"detectron2://R-50\.pkl could not be fetched .*give the path"):
        tiny_network(weights="detectron2://R-50.pkl")


@pytest.mark.parametrize("name", ["model.pth", "model.pkl"])
def test_a_file_that_holds_no_weights_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(ValueError, match=f"{name} could not be read as a checkpoint"):
        tiny_network(weights=str(tmp_path / name))


class Evil:
    """What a pickle of it does when it is loaded: it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_pickle_is_read_for_its_arrays_and_runs_nothing(tmp_path):
    small = {"backbone_depth": 18, "backbone_width": 8, "detectron2_overrides": TINY}
    state = MaskRCNN(NUCLEI, **small).detector.model.state_dict()
    arrays = {name: (value + 1).numpy() for name, value in state.items()}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol=2))
    loaded = MaskRCNN(NUCLEI, **small, weights=str(tmp_path / "zoo.pkl")).detector.model.state_dict()
    for name, value in loaded.items():
        torch.testing.assert_close(value, torch.as_tensor(arrays[name]))
    evil = {"model": arrays, "__author__": Evil(tmp_path / "ran")}
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(evil))
    with pytest.raises(ValueError, match=r"evil\.pkl could not be read as a checkpoint \(it names .*is not run"):
        tiny_network(weights=str(tmp_path / "evil.pkl"))
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_architecture_are_refused(tmp_path):
    torch.save({"model": {"layer.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth are of another architecture"):
        tiny_network(weights=str(tmp_path / "other.pth"))


def test_anchors_of_other_than_five_levels_are_refused():
    with pytest.raises(ValueError, match=r"anchor_sizes_px must be five, .* got \[8, 16\]"):
        tiny_network(anchor_sizes_px=[8, 16])


@pytest.mark.parametrize("class_names", [("background",), ("background", "a", "b", "c")])
def test_other_numbers_of_classes_are_refused(class_names):
    with pytest.raises(ValueError, match="class_names must be"):
        MaskRCNN(class_names)


def test_one_module_imports_detectron2():
    sources = (Path(__file__).parents[3] / "medseg_ext").rglob("*.py")
    doors = [
        path.name for path in sources if re.search(r"^\s*(from|import) detectron2", path.read_text(), re.MULTILINE)
    ]
    assert doors == ["mask_rcnn_detectron2.py"]


def test_weights_that_are_not_finite_are_no_image_without_objects():
    network = tiny_network().eval()
    with torch.no_grad():
        next(network.detector.model.backbone.parameters()).fill_(float("inf"))
    with pytest.raises(NotFiniteError, match="the network gives values that are not finite"):
        network(torch.rand(1, 3, 64, 64))
