"""The trained generator's path on the device: crops, textures, light, network and border in batches over a
picture's faces. What follows from meshes alone is drawn on the host, and the painted pixels never come
back: only how opaque they are does, on which it is decided whether a face is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from streamanon.device.drawing import LAYERS, Drawn, Placed, draw, place
from streamanon.device.grain import Grain, detail_gain
from streamanon.device.light import (
    Detail,
    adapt,
    background,
    blend_border,
    left_out,
    light_field,
    like_skin,
    luma_of,
    softened,
)
from streamanon.device.models import DeviceBackend, DeviceModel
from streamanon.device.pictures import DevicePicture, DevicePixels, Pictures, Region, is_coloured
from streamanon.device.raster import DeviceTextures
from streamanon.device.resample import blur, places_of, resize_linear, sample
from streamanon.gallery.delegates import DelegateGallery
from streamanon.generate import network
from streamanon.generate.features import light_places, with_features
from streamanon.generate.fine_detail import BRIGHTEST, DETAIL_SIGMA, work_size
from streamanon.generate.inputs import mouth_share
from streamanon.generate.interface import DetailState, Job, Painting, Patch
from streamanon.generate.layers import Layer
from streamanon.generate.light import filled
from streamanon.generate.network import (
    NetworkGenerator,
    chunks,
)
from streamanon.generate.raster import localised
from streamanon.generate.silhouette import STEP
from streamanon.generate.softness import Softness
from streamanon.geometry import CROP_PX, invert, scale_of, transform
from streamanon.mesh.landmarks import EYES, INNER_LIPS
from streamanon.runtime.models import Engines
from streamanon.types import Float, Picture


@dataclass(frozen=True, eq=False, repr=False)
class _Painted:
    """Faces as the network painted them, in their crops: RGB 0..255, opacity and what is in front, in
    [N, 5, 128, 128]; ``told`` [N, 5, 64, 64]: how to tell them from what is behind; ``details``: what is
    carried to the next frame; ``lights`` [N, 3, 3]: the skin's about eyes and mouth.
    """

    layers: torch.Tensor
    told: torch.Tensor
    details: list[DetailState]
    lights: Float


class DeviceGenerator(NetworkGenerator):
    """Paints as :class:`NetworkGenerator` does, on the device. The ``rgb`` of its patches is a tensor."""

    def __init__(
        self, gallery: DelegateGallery, backend: DeviceBackend, engines: Engines, pictures: Pictures
    ) -> None:
        super().__init__(gallery, backend, engines)
        self._pictures, self._memory = pictures, pictures.memory
        self._device_textures = DeviceTextures(self._textures, self._memory)
        self._grain = Grain(self._memory)

    def paint(self, picture: Picture, jobs: Sequence[Job]) -> list[Painting | None]:
        made: list[Painting | None] = [None] * len(jobs)
        placed = {
            row: one for row, job in enumerate(jobs) if (one := place(job, self._proportions)) is not None
        }
        if placed:
            with self._memory.active():
                for row, painting in self._paint(picture, placed).items():
                    made[row] = painting
        return made

    def _paint(self, picture: Picture, faces: dict[int, Placed]) -> dict[int, Painting]:
        rows, placed = list(faces), list(faces.values())
        crops = DevicePixels(self._pictures, picture).crops([one.matrix for one in placed], CROP_PX)
        warped, masks = self._device_textures.warp(
            [one.local for one in placed],
            (CROP_PX, CROP_PX),
            [one.job.assignment.delegate for one in placed],
        )
        (shares,) = self._loaded(self._occlusion).run_kept(crops / 255)
        shares = shares * ~is_coloured(crops)
        seen = self._memory.download([masks[:, 0], shares[:, 0]])
        drawn = [draw(picture, *one) for one in zip(placed, *seen, strict=True)]
        some = [number for number, one in enumerate(drawn) if one is not None]
        if not some:
            return {}
        placed, drawn = [placed[number] for number in some], [drawn[number] for number in some]
        outlined = [one for one in drawn if one is not None]
        if len(some) < len(faces):
            kept = self._memory.upload(np.array(some))
            crops, warped, masks = crops[kept], warped[kept], masks[kept]
        painted = self._painted(placed, outlined, crops, warped, masks)
        made = self._patches(self._pictures.of(picture), placed, outlined, painted)
        return {rows[number]: painting for number, painting in zip(some, made, strict=True)}

    def _painted(
        self,
        placed: list[Placed],
        drawn: list[Drawn],
        crops: torch.Tensor,
        warped: torch.Tensor,
        masks: torch.Tensor,
    ) -> _Painted:
        uploaded = self._memory.upload(np.stack([one.layers for one in drawn]))
        layers = dict(zip(LAYERS, uploaded.split(list(LAYERS.values()), dim=1), strict=True))
        light = light_field(crops, layers["skin"])
        before = [face.job.last for face in placed]
        last = self._memory.upload(np.array([_numbers_of(one) for one in before], np.float32))
        lit, detail = adapt(warped, light, crops, layers["core"], layers["skin"], last[:, :2])
        shares = self._memory.upload(np.array([mouth_share(one.local) for one in placed], np.float32))
        lit = lit.clamp(0, 255)
        lit = lit + layers["mouth"] * (shares[:, None, None, None] * light - lit)
        cut, signed_light = layers["cut"], _signed(light)
        planes = torch.cat(
            [
                _signed(crops) * (1 - cut),
                cut,
                torch.where(masks, _signed(lit), signed_light),
                layers["contours"],
                signed_light,
            ],
            dim=1,
        )
        rgb, face = self._run_all(placed, planes)
        rgb, soft = softened((rgb + 1) * 127.5, light, crops, layers["skin"], masks, last[:, 2:])
        rgb = like_skin(rgb, light)
        rgb, beside = blend_border(rgb, crops, light, cut, layers["rings"])
        details, lights = self._details(placed, drawn, crops, light, detail, soft)
        size = (CROP_PX, CROP_PX)
        for number, one in enumerate(placed):
            if not one.large:
                paint = self._features.layers(
                    one.local, size, lights[number], one.delegate, details[number], 1.0
                )
                self._lay(rgb[number], paint)
        most, least = layers["opacity"].split(1, dim=1)
        alpha = torch.minimum(most, torch.maximum(torch.maximum(face, beside), least))
        alpha = blur(alpha, network.STEPS_SIGMA_PX)
        told = background(crops, self._memory.upload(np.stack([one.sides for one in drawn])))
        for number, one in enumerate(placed):
            if not one.large:
                seen = _placed_sides(
                    told[number], np.eye(2, 3, dtype=np.float32), size, self._memory.upload
                )
                alpha[number] *= 1 - left_out(crops[number], seen)
        return _Painted(torch.cat([rgb, alpha, layers["front"]], dim=1), told, details, lights)

    def _details(
        self,
        placed: list[Placed],
        drawn: list[Drawn],
        crops: torch.Tensor,
        light: torch.Tensor,
        detail: Detail,
        soft: torch.Tensor,
    ) -> tuple[list[DetailState], Float]:
        """What is carried to the next frame, and the skin's light about eyes and mouth [N, 3, 3]: few
        numbers a face, and the crop, come to the host.
        """
        places = np.stack([light_places(one.local) for one in placed]).astype(np.int64)
        x, y = self._memory.upload(places).unbind(dim=2)
        rows = torch.arange(len(placed), device=light.device)[:, None]
        lights = light.permute(0, 2, 3, 1)[rows, y, x]
        numbers = torch.cat([torch.stack([detail.contrast, detail.sigma_px], dim=1), soft], dim=1)
        levels = crops.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        seen, told, pixels = self._memory.download([lights, numbers, levels])
        states = []
        for number, (face, one) in enumerate(zip(placed, drawn, strict=True)):
            contrast, sigma, *softness = told[number].tolist()
            own = transform(face.matrix, face.job.geometry.points)
            state = DetailState(contrast, sigma, one.cells, soft=Softness(*softness))
            states.append(
                with_features(state, pixels[number].astype(np.float32), seen[number], own, face.job.last)
            )
        return states, seen

    def _lay(self, rgb: torch.Tensor, layers: list[Layer]) -> None:
        """Lay layers over ``rgb`` [3, h, w], changed in place."""
        for layer in layers:
            height, width = layer.weight.shape
            paint = np.concatenate([layer.rgb, layer.weight[..., None]], axis=2).transpose(2, 0, 1)
            on_device = self._memory.upload(np.ascontiguousarray(paint, np.float32))
            part = rgb[:, layer.y0 : layer.y0 + height, layer.x0 : layer.x0 + width]
            part += on_device[3:] * (on_device[:3] - part)

    def _run_all(self, placed: list[Placed], planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """RGB [N, 3, 128, 128] -1..1 and share of face [N, 1, 128, 128]."""
        styles = self._memory.upload(np.concatenate([self._style(one.job.assignment) for one in placed]))
        rgb, share = torch.empty_like(planes[:, :3]), torch.empty_like(planes[:, :1])
        for chunk in chunks(list(range(len(placed)))):
            some = slice(chunk[0], chunk[-1] + 1)
            answers = self._loaded(self._net).run_kept(planes[some], styles[some])
            for whole, answer in zip((rgb, share), answers, strict=True):
                whole[some] = answer
        return rgb, share

    def _patches(
        self, picture: DevicePicture, placed: list[Placed], drawn: list[Drawn], painted: _Painted
    ) -> list[Painting]:
        colours, opacities, details = [], [], []
        for number, (face, outlined) in enumerate(zip(placed, drawn, strict=True)):
            layers = _in_frame(painted.layers[number], face.matrix, outlined.region, self._memory.upload)
            rgb, alpha, front = layers[:3], layers[3].clamp(0, 1), layers[4].clamp(0, 1)
            if face.large:
                x0, y0, x1, y1 = outlined.region
                local = face.matrix.copy()
                local[:, 2] += local[:, :2] @ np.array([x0, y0], np.float32)
                told = _placed_sides(painted.told[number], local, (x1 - x0, y1 - y0), self._memory.upload)
                alpha = alpha * (1 - left_out(picture.rgb(outlined.region), told)[0])
            grey = picture.luma(outlined.region)
            if face.large:
                fine = self._fine_detail(face, outlined.region)
                rgb = rgb * (1 + detail_gain(rgb, fine, alpha, grey) * fine)
                shifted = face.points - np.array([*outlined.region[:2], 0], np.float32)
                size, scale = (rgb.shape[2], rgb.shape[1]), scale_of(invert(face.matrix))
                detail, lights = painted.details[number], painted.lights[number]
                self._lay(rgb, self._features.layers(shifted, size, lights, face.delegate, detail, scale))
            last = face.job.last.grain if face.job.last is not None else None
            rgb, laid = self._grain.add(rgb, alpha, grey, outlined.region[:2], last)
            details.append(replace(painted.details[number], grain=laid))
            colours.append(rgb.clamp(0, 255).permute(1, 2, 0))
            opacities.append(torch.stack([alpha, front]))
        made = []
        for outlined, rgb, (alpha, front), detail in zip(
            drawn, colours, self._memory.download(opacities), details, strict=True
        ):
            patch = Patch(outlined.region[0], outlined.region[1], rgb, alpha, front)
            made.append(Painting(patch, detail))
        return made

    def _fine_detail(self, face: Placed, region: Region) -> torch.Tensor:
        """How much brighter than what is about it each pixel of the texture is, of that: [h, w]."""
        x0, y0, x1, y1 = region
        scale = scale_of(invert(face.matrix))
        size = work_size(region)
        local = localised(face.points, region, size)
        warped, mask = self._device_textures.warp([local], size, [face.job.assignment.delegate])
        outlines = [filled(local, outline, (size[1], size[0])) for outline in (INNER_LIPS, *EYES)]
        stretched = self._memory.upload(np.maximum.reduce(outlines))
        mask &= stretched == 0
        inside = mask[0, 0].float()
        luma = luma_of(warped[0]) * inside
        known = blur(torch.stack([luma, inside]), DETAIL_SIGMA * scale * size[0] / (x1 - x0))
        fading = (2 * known[1] - 1).clamp(min=0) * inside
        fine = (luma * known[1] / known[0].clamp(min=1) - 1).clamp(max=float(BRIGHTEST)) * fading
        return resize_linear(fine, (x1 - x0, y1 - y0))

    @staticmethod
    def _loaded(model: Any) -> DeviceModel:
        """As the device's backend loads them."""
        assert isinstance(model, DeviceModel)
        return model


def _numbers_of(last: DetailState | None) -> tuple[float, ...]:
    """What is carried of a face's detail and softness, in four numbers; not numbers where there is none."""
    if last is None:
        return (np.nan,) * 4
    soft = (np.nan, np.nan) if last.soft is None else (last.soft.gain, last.soft.sigma_px)
    return last.contrast, last.sigma_px, *soft


def _signed(rgb: torch.Tensor) -> torch.Tensor:
    """Colours of 0..255 as -1..1."""
    return rgb / 127.5 - 1


def _placed_sides(
    told: torch.Tensor, matrix: Float, size: tuple[int, int], upload: Callable[[Float], torch.Tensor]
) -> torch.Tensor:
    """What is known of every second pixel of a crop [5, 64, 64], as seen in an image of that ``size``;
    ``matrix`` [2, 3]: from there to the crop.
    """
    return sample(told, places_of(upload(matrix[None] / np.float32(STEP)), size)[0])


def _in_frame(
    layers: torch.Tensor, matrix: Float, region: Region, upload: Callable[[Float], torch.Tensor]
) -> torch.Tensor:
    """Layers [C, 128, 128] of a crop, colours first, as seen in a region of the frame."""
    x0, y0, x1, y1 = region
    scale = scale_of(invert(matrix))
    if scale < network.AVERAGED_SCALE:
        layers = blur(layers, network.AVERAGING_SIGMA / scale)
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ np.array([x0, y0], np.float32)
    places = places_of(upload(local[None]), (x1 - x0, y1 - y0))[0]
    colours = sample(layers[:3], places, "bicubic" if scale > 1 else "bilinear")
    return torch.cat([colours, sample(layers[3:], places, "bilinear")])
