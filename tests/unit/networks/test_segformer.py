import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerModel

from medseg_ext.networks.segformer import VARIANTS, SegFormer

DETAIL = {"detail_channels": (8, 16), "decoder_channels": 32}
STEM = DETAIL | {"stem": "efficientnet-lite0"}


def image(height: int = 96, width: int = 64, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_the_standard_variant_gives_what_transformers_gives():
    torch.manual_seed(0)
    ours = SegFormer(4).eval()
    theirs = SegformerForSemanticSegmentation(SegformerConfig(num_labels=4)).eval()
    theirs.segformer.load_state_dict(ours.encoder.state_dict())
    theirs.decode_head.load_state_dict(ours.decoder.state_dict())
    with torch.no_grad():
        expected = theirs(pixel_values=image()).logits
        expected = torch.nn.functional.interpolate(expected, size=(96, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(ours(image()), expected)


# Millions of parameters of the encoder: table 6 of the paper.
@pytest.mark.parametrize(
    ("variant", "millions"), [("b0", 3.4), ("b1", 13.1), ("b2", 24.2), ("b3", 44.0), ("b4", 60.8), ("b5", 81.4)]
)
def test_every_variant_has_the_encoder_of_the_paper(variant, millions):
    with torch.device("meta"):
        encoder = SegFormer(3, variant=variant).encoder
    assert sum(value.numel() for value in encoder.parameters()) / 1e6 == pytest.approx(millions, abs=0.2)
    assert set(VARIANTS) == {"b0", "b1", "b2", "b3", "b4", "b5"}


@pytest.mark.parametrize("options", [{}, DETAIL, {"patch_stride": 2}, {"patch_stride": 2, **DETAIL}, STEM])
@pytest.mark.parametrize("size", [(64, 96), (75, 101)])
def test_logits_have_the_size_of_the_image(options, size):
    network = SegFormer(4, **options).eval()
    with torch.no_grad():
        assert network(image(*size)).shape == (2, 4, *size)


def test_the_detail_branch_sees_what_the_standard_variant_cannot():
    # Lines one pixel apart: logits of a quarter of the resolution are smooth between their pixels.
    torch.manual_seed(0)
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    with torch.no_grad():
        coarse, fine = (SegFormer(1, **options).eval()(stripes)[0, 0] for options in ({}, DETAIL))

    def second_difference(row: torch.Tensor) -> float:  # 0 within a linear interpolation
        middle = row[:, 16:48]
        curvature = middle[:, 2:] - 2 * middle[:, 1:-1] + middle[:, :-2]
        return float(curvature.abs().median() / middle.std())

    assert second_difference(coarse) < 0.05
    assert second_difference(fine) > 0.5


@pytest.mark.parametrize("options", [{}, DETAIL, STEM])
def test_torchscript_gives_the_same_at_other_sizes_and_leaves_the_network_alone(options, tmp_path):
    network = SegFormer(3, **options).train()
    torch.jit.script(network).save(tmp_path / "model.ts")
    assert all(module.training for module in network.modules())
    exported, network = torch.jit.load(tmp_path / "model.ts").eval(), network.eval()
    for size in ((128, 160), (75, 101)):
        with torch.no_grad():
            torch.testing.assert_close(exported(image(*size)), network(image(*size)), rtol=1e-5, atol=1e-5)


def test_gradient_checkpointing_changes_no_gradient():
    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        network = SegFormer(2, drop_path_rate=0.0, gradient_checkpointing=checkpointing).train()
        network.decoder.dropout.p = 0.0
        assert network.encoder.is_gradient_checkpointing == checkpointing
        network(image()).square().mean().backward()
        return [value.grad for value in network.parameters()]

    for plain, checkpointed in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(plain, checkpointed)


def published_layout(encoder: SegformerModel) -> dict[str, torch.Tensor]:
    """Name the weights as the files of nvidia/mit-b0 on the hub do, which are older than the class."""
    names = (
        (".patch_embeddings.", "encoder.patch_embeddings.{}."), (".blocks.", "encoder.block.{}."),
        (".layer_norm.", "encoder.layer_norm.{}."),
    )  # fmt: skip
    inner = {
        "attention.q_proj": "attention.self.query", "attention.k_proj": "attention.self.key",
        "attention.v_proj": "attention.self.value", "attention.o_proj": "attention.output.dense",
        "attention.sequence_reduction.sequence_reduction": "attention.self.sr",
        "attention.sequence_reduction.layer_norm": "attention.self.layer_norm",
        "mlp.fc1": "mlp.dense1", "mlp.fc2": "mlp.dense2",
        "layernorm_before": "layer_norm_1", "layernorm_after": "layer_norm_2",
    }  # fmt: skip
    weights = {}
    for name, value in encoder.state_dict().items():
        stage, rest = name.removeprefix("stages.")[0], name.removeprefix("stages.")[1:]
        for part, published in names:
            if rest.startswith(part):
                rest = published.format(stage) + rest.removeprefix(part)
                break
        for new, old in inner.items():
            rest = rest.replace(new, old)
        weights[f"segformer.{rest}"] = value.contiguous()
    return weights


@pytest.mark.parametrize("layout", ["new", "published"])
def test_pretrained_weights_are_loaded(layout, tmp_path):
    torch.manual_seed(0)
    pretrained = SegformerModel(SegformerConfig())
    pretrained.save_pretrained(tmp_path)
    if layout == "published":
        save_file(published_layout(pretrained), tmp_path / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((tmp_path / "config.json").read_text())
        config["architectures"] = ["SegformerForImageClassification"]
        (tmp_path / "config.json").write_text(json.dumps(config))
    for options in ({}, DETAIL):
        encoder = SegFormer(3, encoder_weights=str(tmp_path), **options).encoder
        for name, value in pretrained.state_dict().items():
            torch.testing.assert_close(encoder.state_dict()[name], value, msg=name)


def test_pretrained_weights_of_another_variant_are_refused(tmp_path):
    SegformerModel(SegformerConfig()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"hidden_sizes .*32, 64, 160, 256.* this SegFormer has .*64, 128, 320, 512"):
        SegFormer(3, variant="b1", encoder_weights=str(tmp_path))
    with pytest.raises(ValueError, match="strides"):
        SegFormer(3, patch_stride=2, encoder_weights=str(tmp_path))


def test_incomplete_pretrained_weights_are_refused(tmp_path):
    pretrained = SegformerModel(SegformerConfig())
    pretrained.save_pretrained(tmp_path)
    some = {name: value for name, value in pretrained.state_dict().items() if not name.startswith("stages.3.")}
    save_file(some, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks \d+ of the encoder's weights, such as stages.3"):
        SegFormer(3, encoder_weights=str(tmp_path))


def test_pretrained_weights_that_are_not_there_are_named_with_the_remedy(tmp_path):
    with pytest.raises(OSError, match=r"nowhere: no pretrained SegFormer there. Give a folder .*download"):
        SegFormer(3, encoder_weights=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "b9"}, "variant must be"),
        ({"patch_stride": 8}, "patch_stride must be"),
        ({"detail_channels": [8]}, "detail_channels must be two"),
        ({"pretrained": True}, "pretrained is the stem's"),
        ({"stem": "resnet18"}, "stem must be efficientnet-lite0 or None"),
        ({"stem": "efficientnet-lite0", "patch_stride": 2}, "with a stem patch_stride must be 4"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SegFormer(3, **options)


def test_an_image_too_small_for_its_attention_is_refused():
    with pytest.raises(ValueError, match=r"at least 32 pixels a side, got shape \(1, 3, 31, 64\)"):
        SegFormer(3)(torch.zeros(1, 3, 31, 64))
