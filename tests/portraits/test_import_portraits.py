"""A user's own portraits become delegates, or are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from demo_people import Pose, Style, Wish, draw_person, make_person
from numpy.typing import NDArray

from streamanon.api import Anonymizer
from streamanon.cli import main
from streamanon.config import load_config
from streamanon.gallery.delegates import DelegateGallery, load_delegates, open_gallery
from streamanon.mesh.landmarks import INNER_LIPS
from streamanon.portraits import import_portraits as additions
from streamanon.portraits.import_portraits import RefusedError, check_points
from streamanon.runtime.models import Engines
from streamanon.types import Float

pytestmark = pytest.mark.usefixtures("remembering_models")
Image = NDArray[np.uint8]
SIZE = 480
BACKGROUND = (120, 130, 140)
TEETH = (225, 220, 205)


@pytest.fixture(scope="module")
def gallery(engines: Engines) -> DelegateGallery:
    return open_gallery(engines)


@pytest.fixture(scope="module")
def portrait(gallery: DelegateGallery) -> Callable[..., Image]:
    """Draws a person of nobody, [480, 480, 3] RGB."""
    person = make_person(
        gallery, "one", Wish(True, 20, 150), Style("bald", (60, 40, 30), (80, 90, 110)), set()
    )

    def draw(unit: float = 90.0, teeth: bool = False, **pose: float) -> Image:
        sprite = draw_person(gallery, person, Pose(SIZE / 2, SIZE * 0.62, unit, **pose), SIZE)
        canvas = np.empty((SIZE, SIZE, 3), np.float32)
        canvas[:] = BACKGROUND
        x0, y0 = max(0, sprite.x0), max(0, sprite.y0)
        rgb = sprite.rgb[y0 - sprite.y0 :, x0 - sprite.x0 :][: SIZE - y0, : SIZE - x0]
        alpha = sprite.alpha[y0 - sprite.y0 :, x0 - sprite.x0 :][: SIZE - y0, : SIZE - x0, None]
        window = canvas[y0 : y0 + rgb.shape[0], x0 : x0 + rgb.shape[1]]
        window += alpha * (rgb - window)
        if teeth:
            cv2.fillPoly(canvas, [np.rint(sprite.points[list(INNER_LIPS), :2]).astype(np.int32)], TEETH)
        return np.clip(canvas, 0, 255).astype(np.uint8)

    return draw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "portraits"
    path.mkdir()
    return path


def save(path: Path, image: Image) -> None:
    path.write_bytes(cv2.imencode(path.suffix, image[..., ::-1])[1].tobytes())


def add(folder: Path, output: Path, *options: str) -> int:
    return main(["delegates", "add", str(folder), "-o", str(output), *options])


@pytest.fixture
def any_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portraits here show an installed delegate, again and again: let that pass."""
    monkeypatch.setattr(additions, "SAME_FACE", 2.0)


@pytest.mark.slow
def test_no_face_is_added_twice(
    portrait: Callable[..., Image], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(folder / "a.png", portrait())
    save(folder / "b.png", portrait(85.0))
    assert add(folder, tmp_path / "my.npz", "--only") == 0
    assert len(load_delegates(tmp_path / "my.npz")) == 1
    assert "b.png: it shows a face that is in the gallery already" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("any_face")
def test_portraits_are_added_to_the_installed_ones(
    portrait: Callable[..., Image], gallery: DelegateGallery, folder: Path, tmp_path: Path
) -> None:
    save(folder / "a.png", portrait())
    save(folder / "b.webp", portrait(80.0))
    assert add(folder, tmp_path / "my.npz") == 0
    own = load_delegates(tmp_path / "my.npz")
    assert [d.id for d in own.delegates][-2:] == ["u000", "u001"]
    assert len(own) == len(gallery) + 2
    np.testing.assert_array_equal(own.delegates[0].texture, gallery.delegates[0].texture)
    assert own.weights[-1].max() == 1


@pytest.mark.slow
@pytest.mark.usefixtures("any_face")
def test_alone_and_then_more(
    portrait: Callable[..., Image], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    save(folder / "a.jpg", portrait())
    assert add(folder, first, "--only") == 0
    assert add(folder, second, "--gallery", str(first)) == 0
    assert [d.id for d in load_delegates(second).delegates] == ["u000", "u001"]
    capsys.readouterr()
    assert main(["delegates", "list", "--gallery", str(second)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["u000", "u001"]


@pytest.mark.slow
def test_a_delegate_looks_like_its_portrait(
    portrait: Callable[..., Image], gallery: DelegateGallery, folder: Path, tmp_path: Path
) -> None:
    save(folder / "a.png", portrait())
    assert add(folder, tmp_path / "my.npz", "--only") == 0
    own = load_delegates(tmp_path / "my.npz").delegates[0]
    middle = portrait()[190:290, 190:290].reshape(-1, 3).mean(0)
    assert np.abs(own.texture[90:170, 80:176].reshape(-1, 3).mean(0) - middle).max() < 25
    assert own.masculine > 0.5
    assert np.linalg.norm(own.shape[468] - own.shape[473]) == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_a_run_uses_another_gallery(
    portrait: Callable[..., Image], folder: Path, tmp_path: Path, engines: Engines
) -> None:
    path = tmp_path / "my.npz"
    save(folder / "a.png", portrait())
    assert add(folder, path, "--only") == 0
    source, target, report = tmp_path / "in.png", tmp_path / "out.png", tmp_path / "report.json"
    save(source, portrait(60.0))
    arguments = ["run", str(source), "-o", str(target), "--gallery", str(path), "--delegate", "u000"]
    assert main([*arguments, "--report", str(report), "--quiet"]) == 0
    assert path.name in report.read_text()
    assert str(path) not in report.read_text()
    assert engines.digests()["delegates"] not in report.read_text()


@pytest.mark.slow
def test_refused_portraits_are_named_with_the_reason(
    portrait: Callable[..., Image], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = portrait()
    images = {
        "cut.png": portrait()[:, 215:],
        "empty.png": np.full((200, 200, 3), 120, np.uint8),
        "far.png": portrait(35.0),
        "open.png": portrait(mouth=0.6, teeth=True),
        "turned.png": portrait(yaw=30.0),
        "two.png": np.hstack([fine, fine]),
    }
    for name, image in images.items():
        save(folder / name, image)
    save(folder / "fine.png", fine)
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("left alone")
    assert add(folder, tmp_path / "my.npz", "--only") == 0
    lines = capsys.readouterr().err.splitlines()
    told = dict(line.removeprefix("streamanon: ").split(": ", 1) for line in lines)
    assert set(told) == {*images, "broken.jpg"}
    assert "cut off" in told["cut.png"] or "no face" in told["cut.png"]
    assert "no face" in told["empty.png"]
    assert "px wide" in told["far.png"]
    assert "mouth" in told["open.png"]
    assert "turned" in told["turned.png"]
    assert "2 faces" in told["two.png"]
    assert told["broken.jpg"] == "it is no PNG, JPEG or WebP image; convert it to one"
    assert all(": " in reason or "; " in reason for reason in told.values())  # what to do
    assert len(load_delegates(tmp_path / "my.npz")) == 1


@pytest.mark.parametrize(
    ("make", "output", "told"),
    [
        pytest.param(lambda _: None, "my.npz", "no folder", marks=pytest.mark.slow),
        pytest.param(lambda path: path.mkdir(), "my.npz", "no portrait", marks=pytest.mark.slow),
        (lambda path: path.mkdir(), "my.png", ".npz"),
    ],
)
def test_what_gives_no_gallery_is_an_error(
    make: Callable[[Path], None],
    output: str,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    engines: Engines,
) -> None:
    make(tmp_path / "portraits")
    assert add(tmp_path / "portraits", tmp_path / output) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / output).exists()


@pytest.mark.slow
def test_none_accepted_is_an_error(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], engines: Engines
) -> None:
    save(folder / "empty.png", np.full((200, 200, 3), 120, np.uint8))
    assert add(folder, tmp_path / "my.npz") == 2
    assert "none of 1 portraits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "remedy"),
    [(None, "No such file or directory; check the path"), (b"no gallery", "delegates add")],
)
def test_a_gallery_that_cannot_be_read_is_an_error(
    content: bytes | None, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], engines: Engines
) -> None:
    path = tmp_path / "my.npz"
    if content is not None:
        path.write_bytes(content)
    assert main(["delegates", "list", "--gallery", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
    with pytest.raises(Exception, match=remedy):
        Anonymizer(load_config(None, [f"identity.gallery={path}"]))


def upright(width_px: float, gallery: DelegateGallery) -> Float:
    """A delegate's mesh, ``width_px`` wide, in the middle of a picture of 400 px."""
    shape = gallery.delegates[0].shape
    points = shape * np.float32(width_px / np.ptp(shape[:, 0]))
    points[:, :2] += 200 - (points[:, :2].min(0) + points[:, :2].max(0)) / 2
    return points


def test_geometry_is_checked(gallery: DelegateGallery) -> None:
    check_points(upright(200, gallery), 400, 400)
    for points, told in (
        (upright(100, gallery), "100 px"),
        (upright(200, gallery) + np.array([150, 0, 0], np.float32), "cut off"),
        (upright(200, gallery) * np.float32(np.nan), "measured"),
    ):
        with pytest.raises(RefusedError, match=told):
            check_points(points, 400, 400)
