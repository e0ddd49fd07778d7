"""Extra ``train``: torch, safetensors; grad-cam and dlib where they are compared with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("torch", reason="pip install 'streamanon[train]'")
pytest.importorskip("safetensors", reason="pip install 'streamanon[train]'")

import torch
from torch import nn

from streamanon.runtime.models import Engines
from streamanon.training.encoder import EncoderNet, Exported, load_weights


@pytest.fixture(scope="module", params=["untrained", "shipped"])
def network(request: pytest.FixtureRequest) -> Iterator[EncoderNet]:
    torch.manual_seed(0)
    if request.param == "shipped":
        yield load_weights(Engines.open().path("identity-encoder").with_suffix(".safetensors"))
    else:
        yield EncoderNet().eval()


def crops(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 14, 14, generator=generator)
    return nn.functional.interpolate(coarse, size=112, mode="bicubic").clamp(0, 1)


def test_map_and_importances_are_grad_cams(network: EncoderNet) -> None:
    """Both from one forward pass, against the gradients that pytorch-grad-cam takes."""
    grad_cam = pytest.importorskip("pytorch_grad_cam", reason="pip install grad-cam")
    batch = crops(4)
    with torch.no_grad():
        embedding, _, activation, importance = Exported(network)(batch)
    directions = embedding / embedding.norm(dim=1, keepdim=True)

    class Identity(nn.Module):  # type: ignore[misc,unused-ignore]
        """Only the embedding, which grad-cam takes for class scores."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)[1]

    model = Identity()
    targets = [lambda scores, d=direction: (scores * d).sum() for direction in directions]
    layer = [network.trunk[-1]]
    with grad_cam.GradCAM(model=model, target_layers=layer) as cam:
        cam(input_tensor=batch, targets=targets)
        features = cam.activations_and_grads.activations[0].numpy()
        gradients = cam.activations_and_grads.gradients[0].numpy()
        weights = cam.get_cam_weights(batch, layer[0], targets, features, gradients)
        image = np.maximum(cam.get_cam_image(batch, layer[0], targets, features, gradients), 0)
    assert np.abs(weights).max() > 1e-4, "nothing to compare"
    np.testing.assert_allclose(importance.numpy(), weights, atol=1e-4)
    np.testing.assert_allclose(activation.numpy(), image, atol=1e-4)


@pytest.mark.slow
def test_the_teacher_is_dlib() -> None:
    dlib = pytest.importorskip("dlib", reason="pip install 'streamanon[audit]'")
    from streamanon.audit.recognisers import DlibRecogniser
    from streamanon.training.teacher import CHIP_PX, load_teacher

    del dlib
    rng = np.random.default_rng(0)
    chips = rng.integers(0, 256, (3, CHIP_PX, CHIP_PX, 3), np.uint8)
    network = DlibRecogniser()._network
    wanted = np.array([network.compute_face_descriptor(chip) for chip in chips])
    pixels = torch.from_numpy(chips.transpose(0, 3, 1, 2).copy()).float()
    with torch.no_grad():
        found = load_teacher()(pixels).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
