from __future__ import annotations

import numpy as np
import pytest
from painting import CELLS, Networks, assignment, face, generator, one, picture

from streamanon.generate import Job, Patch
from streamanon.geometry import CROP_PX
from streamanon.media.yuv import from_rgb
from streamanon.mesh.landmarks import LIP_MIDDLES, NOSE_BASE, NOSE_TIP, yaw_degrees
from streamanon.types import Float, Geometry


def paint(networks: Networks, size: float = 40.0) -> Patch:
    painting = one(generator(networks), picture(), face(size), assignment())
    assert painting is not None
    return painting.patch


def turned(degrees: float) -> Geometry:
    """A face that looks to one side."""
    mesh = face(40)
    middle = (mesh.points.max(axis=0) + mesh.points.min(axis=0)) / 2
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return Geometry(np.asarray((mesh.points - middle) @ turn + middle, np.float32), 0.9)


def at(patch: Patch, values: Float, point: Float) -> float:
    return float(values[round(float(point[1])) - patch.y0, round(float(point[0])) - patch.x0])


@pytest.mark.parametrize("size", [12.0, 40.0, 90.0])
def test_the_whole_face_is_covered_at_every_size(size: float) -> None:
    patch, mesh = paint(Networks(), size), face(size).points
    inner = mesh[[1, 4, 33, 263, 61, 291, 152, 10, 50, 280]]
    towards = inner + 0.06 * (mesh[4] - inner)
    assert min(at(patch, patch.alpha, point) for point in towards) > 0.9
    assert patch.alpha[0].max() < 0.6
    assert patch.rgb.shape == (*patch.alpha.shape, 3)
    assert 0 <= patch.rgb.min() <= patch.rgb.max() <= 255


def test_a_network_that_says_there_is_no_face_uncovers_none_of_it() -> None:
    """Only near the rim may it lower the alpha."""
    patch, mesh = paint(Networks(face=0.0)), face(40).points
    for point in mesh[[1, 4, 168, 5, 33, 263, 13, 14]]:
        assert at(patch, patch.alpha, point) > 0.99


def test_what_is_in_front_is_left_and_said_to_be() -> None:
    """A hand that comes in from the left."""
    front = np.zeros((CELLS, CELLS), np.float32)
    front[18:24, :16] = 0.95
    patch = paint(Networks(front))
    assert patch.front is not None
    hidden = patch.front > 0.9
    assert hidden.sum() > 100
    assert patch.alpha[hidden].max() < 0.2


def test_in_coloured_light_nothing_is_taken_for_in_front() -> None:
    """Under water a chin is as blue as a surgical mask: it would stay as it is."""
    front = np.zeros((CELLS, CELLS), np.float32)
    front[18:24, :16] = 0.95
    under_water = picture(lambda pixels: pixels * [0.2, 0.6, 1])
    painting = one(generator(Networks(front)), under_water, face(40), assignment())
    assert painting is not None
    assert painting.patch.front is not None
    assert painting.patch.front.max() == 0


@pytest.mark.parametrize("degrees", [-45.0, 30.0, 45.0])
def test_a_profile_is_painted_though_the_background_beside_it_counts_as_in_front(degrees: float) -> None:
    """Cells of 4 px reach over nose and lips, and the soft edge beside them would show the person's."""
    mesh = turned(degrees)
    far = range(CELLS // 2) if yaw_degrees(mesh.points) < 0 else range(CELLS // 2, CELLS)
    front = np.zeros((CELLS, CELLS), np.float32)
    front[:, far] = 0.95
    painting = one(generator(Networks(front)), picture(), mesh, assignment())
    assert painting is not None
    patch = painting.patch
    tip, base, *lips = mesh.points[[NOSE_TIP, NOSE_BASE, *LIP_MIDDLES]]
    middle = mesh.points.mean(axis=0)
    for point in (base, *lips, tip + 0.25 * (middle - tip)):
        assert at(patch, patch.alpha, point) > 0.9


def test_a_hand_before_the_near_side_of_a_turned_face_stays() -> None:
    mesh = turned(30.0)
    front = np.zeros((CELLS, CELLS), np.float32)
    near = slice(0, 13) if yaw_degrees(mesh.points) > 0 else slice(19, CELLS)
    front[18:24, near] = 0.95
    painting = one(generator(Networks(front)), picture(), mesh, assignment())
    assert painting is not None
    assert painting.patch.front is not None
    assert (painting.patch.front > 0.9).sum() > 50


def test_nothing_hovers_before_a_face() -> None:
    """A mouth that the occlusion network takes for something in front is painted over all the same."""
    front = np.zeros((CELLS, CELLS), np.float32)
    front[18:21, 14:18] = 0.95
    patch = paint(Networks(front))
    assert patch.front is not None
    assert patch.front.max() == 0


def test_a_face_that_is_mostly_hidden_is_not_painted() -> None:
    hidden = Networks(np.ones((CELLS, CELLS), np.float32))
    assert one(generator(hidden), picture(), face(40), assignment()) is None


def test_doubtful_and_lone_cells_are_face() -> None:
    front = np.zeros((CELLS, CELLS), np.float32)
    front[16, 6], front[18:22, :16] = 0.99, 0.6
    patch = paint(Networks(front))
    assert patch.front is not None
    assert patch.front.max() == 0


def test_a_style_is_computed_once_a_role() -> None:
    networks, part = Networks(), assignment()
    painter = generator(networks)
    for _ in range(3):
        one(painter, picture(), face(40), part)
    assert networks.calls == {"generator": 3, "generator-style": 1, "face-occlusion": 3}
    one(painter, picture(), face(40), assignment(5))
    assert networks.calls["generator-style"] == 2


def test_the_painted_face_lies_where_the_mesh_does() -> None:
    """The same face elsewhere is the same patch, moved."""
    painter, part = generator(Networks()), assignment()
    plain = from_rgb(np.full((240, 320, 3), 128, np.uint8))
    here, there = (one(painter, plain, face(40, at), part) for at in ((140, 120), (160, 128)))
    assert here is not None
    assert there is not None
    assert (there.patch.x0 - here.patch.x0, there.patch.y0 - here.patch.y0) == (20, 8)
    np.testing.assert_allclose(here.patch.rgb, there.patch.rgb, atol=3)


def test_a_mesh_that_is_no_number_or_lies_outside_is_not_painted() -> None:
    broken = face(40)
    broken.points[5] = np.nan
    for mesh in (broken, face(40, (-400, 120))):
        assert one(generator(Networks()), picture(), mesh, assignment()) is None


def test_faces_of_a_frame_go_through_the_network_together() -> None:
    networks = Networks()
    sizes = (40.0, 9.0, 45.0, 50.0, 10.0, 40.0)
    broken = Geometry(face(40).points * np.float32("nan"), 0.9)
    jobs = [Job(face(size), assignment(number), None) for number, size in enumerate(sizes)]
    made = generator(networks).paint(picture(), [*jobs[:2], Job(broken, assignment(), None), *jobs[2:]])
    assert [shape[0::2] for shape in networks.shapes] == [(4, CROP_PX), (2, CROP_PX)]
    assert [painting is None for painting in made] == [False, False, True, False, False, False, False]
    for job, painting in zip(jobs, [*made[:2], *made[3:]], strict=True):
        alone = generator(Networks()).paint(picture(), [job])[0]
        assert painting is not None
        assert alone is not None
        np.testing.assert_allclose(painting.patch.rgb, alone.patch.rgb, atol=1e-3)


def test_what_was_in_front_stays_so_while_the_network_wavers() -> None:
    front = np.zeros((CELLS, CELLS), np.float32)
    front[18:24, :16] = 0.95
    networks = Networks(front)
    painter, part = generator(networks), assignment()
    first = one(painter, picture(), face(40), part)
    assert first is not None
    networks.front = front * np.float32(0.6)
    for last, stays in ((first.detail, True), (None, False)):
        painting = one(painter, picture(), face(40), part, last)
        assert painting is not None
        assert painting.patch.front is not None
        assert (painting.patch.front.max() > 0.9) is np.bool_(stays)
