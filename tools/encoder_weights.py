"""Start a DeepLabV3+ or PSPNet from the encoder of a U-Net's weights: `tools/reproduce.sh` calls it.

    python tools/encoder_weights.py dsb2018_pspnet bundles/dsb2018_unet/models/model.pt --output start/model.pt

What is not of the encoder is drawn at random, the same each time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from medseg_ext.networks.weights import save_state

ROOT = Path(__file__).parents[1]
OF_ENCODER = tuple(f"model.encoder.{part}" for part in ("conv_stem", "bn1", "blocks"))


def main() -> None:
    """Read the U-Net's weights, write those that the training starts from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="whose network starts so")
    parser.add_argument("unet", type=Path, help="weights of the U-Net")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    config = ConfigParser()
    config.read_config(str(ROOT / "bundles" / options.bundle / "configs" / "inference.json"))
    torch.manual_seed(0)
    state = config.get_parsed_content("network_def").state_dict()
    unet = torch.load(options.unet, map_location="cpu", weights_only=True)
    # Both list an encoder's tensors in the order in which an image meets them; PSPNet has the first ones only.
    names = [name for name in state if name.startswith(OF_ENCODER)]
    encoder = [value for name, value in unet.items() if name.startswith("encoder.")]
    for name, value in zip(names, encoder[: len(names)], strict=True):
        state[name].copy_(value)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save_state(state, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
