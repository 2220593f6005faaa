"""Engines give what PyTorch gives, with the weights that the network has."""

import pytest
import torch
from bundle_settings import TWINS_ARE_SLOW
from monai.inferers import SimpleInferer

from medseg_ext.bundle.exported_networks import load_eager, read_inference_config
from medseg_ext.errors import DataError
from medseg_ext.inferers import CPUAutocastInferer, EngineInferer, engine_inferer
from medseg_ext.inferers.engines import ONNXRuntime, OpenVINO, to_onnx
from medseg_ext.synthetic.scenes import nucleus_images

ENGINES = {"openvino": OpenVINO(), "onnxruntime": ONNXRuntime()}
SEMANTIC = [param for param in TWINS_ARE_SLOW if not param.values[0].name.endswith("mask_rcnn")]


@pytest.fixture(autouse=True)
def engines():
    for engine in ENGINES.values():
        if not engine.is_installed():
            pytest.skip(f"{engine.name} is not installed")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1)).eval()


def by(engine: str, **options: object) -> EngineInferer:
    return EngineInferer(SimpleInferer(), engine=engine, **options)


@pytest.mark.parametrize("bundle", SEMANTIC, ids=lambda bundle: bundle.name)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_gives_the_logits_and_the_objects_of_pytorch_at_any_size(engine, bundle):
    network, decoder = load_eager(bundle), read_inference_config(bundle).get_parsed_content("decoder")
    inferer = by(engine)
    picture = torch.from_numpy(next(nucleus_images(0)).image.copy()).permute(2, 0, 1)[None].float() / 255
    for height, width in ((32, 32), (128, 224), (64, 32), (256, 256)):  # a SegFormer's smallest first: see _check
        image = picture[:, :, :height, :width].contiguous()
        with torch.inference_mode():
            expected = network(image)
        output = inferer(image, network)
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-3)
        found, wanted = (decoder.decode(each[0], size=(height, width)) for each in (output, expected))
        assert torch.equal(found.classes > 0, wanted.classes > 0)
        assert torch.equal(found.instances, wanted.instances)


def test_weights_that_have_changed_are_taken_up_and_a_converted_network_is_found_again_unless_damaged(
    network, tmp_path, monkeypatch
):
    converted = []
    monkeypatch.setattr(engine_inferer, "to_onnx", lambda network: (converted.append(1), to_onnx(network))[1])
    image, weights = torch.rand(1, 3, 32, 40), tmp_path / "model.pt"
    inferer = by("openvino", weights=weights)
    for _ in range(2):
        torch.testing.assert_close(inferer(image, network), network(image))
    for engine in ENGINES:
        torch.testing.assert_close(by(engine, weights=weights)(image, network), network(image))
    assert len(converted) == 1
    with torch.no_grad():
        network[0].weight.mul_(2)
    torch.testing.assert_close(inferer(image, network), network(image))
    assert len(converted) == 2
    (kept,) = (tmp_path / ".engines" / "model.pt").iterdir()  # that of the former weights is gone
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    torch.testing.assert_close(by("openvino", weights=weights)(image, network), network(image))
    assert len(converted) == 3


def test_an_engine_runs_beside_weights_that_stand_where_nothing_can_be_written(network, tmp_path):
    (tmp_path / "file").touch()
    image = torch.rand(1, 3, 32, 32)
    output = by("openvino", weights=tmp_path / "file" / "model.pt")(image, network)
    torch.testing.assert_close(output, network(image))


def test_auto_leaves_to_pytorch_what_an_engine_cannot_take(caplog):
    class Bessel(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(image)

    image, network = torch.rand(1, 3, 8, 8), Bessel()
    inferer = by("auto")
    assert inferer.engine_used == ("openvino", "float32")
    torch.testing.assert_close(inferer(image, network), network(image))
    assert inferer.engine_used == ("torch", "float32")
    assert "PyTorch runs, more slowly" in caplog.text
    scripted = torch.jit.script(torch.nn.ReLU())
    torch.testing.assert_close(by("auto")(image, scripted), image)
    with pytest.raises(DataError, match="--engine openvino takes no converted network: give --engine torch"):
        by("openvino")(image, scripted)
    assert by("auto", device="cuda").engine_used[0] == "torch"


@pytest.mark.parametrize(
    ("amp", "device", "computes", "precision"),
    [
        (True, "cpu", True, "bfloat16 and float32"),
        (True, "cpu", False, "float32"),
        (True, "cuda", False, "float16 and float32"),
        (False, "cpu", True, "float32"),
        (False, "cuda", True, "float32"),
    ],
)
def test_the_precision_of_pytorch_is_that_of_machine_and_device(monkeypatch, amp, device, computes, precision):
    monkeypatch.setattr("medseg_ext.inferers.autocast.cpu_computes_bfloat16", lambda: computes)
    inferer = EngineInferer(CPUAutocastInferer(SimpleInferer(), device=device, amp=amp), engine="torch", device=device)
    assert inferer.engine_used == ("torch", precision)


def test_an_engine_that_cannot_run_is_refused_with_the_remedy(monkeypatch):
    with pytest.raises(DataError, match="computes on the CPU, and --device is cuda: give --engine torch"):
        by("openvino", device="cuda")
    monkeypatch.setattr(OpenVINO, "is_installed", classmethod(lambda cls: False))
    with pytest.raises(DataError, match="pip install 'medseg-ext\\[openvino\\]', or give --engine torch"):
        by("openvino")
    assert by("auto").engine is None
