"""The command from end to end, on the shipped clip and with the shipped models."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from audits import write

from streamanon.audit.pairing import read_rgb_frames
from streamanon.cli import main

pytestmark = pytest.mark.usefixtures("remembering_models")
DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"
FRAMES = 3


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = [image for image, _ in zip(read_rgb_frames(DEMO), range(FRAMES), strict=False)]
    return write(tmp_path_factory.mktemp("clip") / "in.mp4", images)


@pytest.fixture(scope="module")
def solid(clip: Path) -> Path:
    output = clip.with_name("out.mp4")
    assert main(["run", str(clip), "-o", str(output), "--method", "solid", "--quiet"]) == 0
    return output


@pytest.mark.slow
def test_a_video_compared_with_itself_fails(clip: Path, tmp_path: Path) -> None:
    page, numbers = tmp_path / "a.html", tmp_path / "a.json"
    arguments = ["audit", str(clip), str(clip), "--html", str(page), "--json", str(numbers), "--quiet"]
    assert main([*arguments, "--thumbnails"]) == 1
    content = json.loads(numbers.read_text())
    jsonschema.validate(content, json.loads((files("streamanon.audit") / "schema.json").read_text()))
    assert content["failed"] == ["leak>0"]
    assert content["leaks"]["seen"] == content["leaks"]["face_frames"] > 0
    assert content["original"] == content["output"] == "in.mp4"
    assert "image/jpeg" in page.read_text()
    for one in content["reidentification"]:
        assert one["accepted"]["value"] == 1


@pytest.mark.slow
def test_a_covered_video_passes(clip: Path, solid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(clip), str(solid)]) == 0
    told = capsys.readouterr().out
    assert "leaks: 0 face-frames of 0 tracks" in told
    assert told.strip().endswith("passed")


@pytest.mark.slow
def test_other_conditions_fail_it(clip: Path, solid: Path) -> None:
    assert main(["audit", str(clip), str(solid), "--quiet", "--fail-on", "leak>0,found<0.9"]) == 1


@pytest.mark.slow
def test_people_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The faces of the clip at two times are two photos of each person."""
    truth = json.loads(DEMO.with_suffix(".json").read_text())["frames"]
    for index, image in enumerate(read_rgb_frames(DEMO)):
        if index in (0, 6):
            for face in truth[index]:
                x0, y0, x1, y1 = (int(v) for v in np.array(face["box"]) + np.array([-30, -30, 30, 30]))
                photo = image[max(0, y0) : y1, max(0, x0) : x1, ::-1]
                path = tmp_path / "people" / f"person{face['track']}" / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), photo)
        if index == 6:
            break
    numbers = tmp_path / "a.json"
    arguments = ["audit", "--identities", str(tmp_path / "people"), "--json", str(numbers)]
    assert main([*arguments, "--method", "none", "--fail-on", "rank1>0.9"]) == 1
    assert "| none |" in capsys.readouterr().out
    content = json.loads(numbers.read_text())
    assert content["people"] >= 2
    assert content["kept"]["landmark_nme"] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give ORIGINAL and ANONYMISED"),
        (["in.mp4"], "give ORIGINAL and ANONYMISED"),
        (["in.mp4", "there-is-none.mp4"], "in.mp4"),
        (["a.mp4", "b.mp4", "--thumbnails"], "--html"),
        (["a.mp4", "b.mp4", "--fail-on", "nonsense"], "nonsense"),
        (["--identities", "no-folder"], "no-folder"),
        (["--identities", ".", "--html", "a.html"], "html"),
        (["--identities", ".", "--method", "magic"], "magic"),
        (["a.mp4", "b.mp4", "--method", "blur"], "--method"),
        (["a.mp4", "b.mp4", "--photos", "."], "--photos"),
        (["a.mp4", "b.mp4", "--json", "no-folder/a.json"], "no-folder"),
        (["a.mp4", "b.mp4", "--json", "a.json", "--html", "a.json"], "both"),
        (["a.mp4", "b.mp4", "--html", "b.mp4", "--overwrite"], "is an input"),
        (["a.mp4", "b.mp4", "--json", "r.onnx", "--recogniser", "r.onnx", "--overwrite"], "is an input"),
        (["a.mp4", "b.mp4", "--json", "y.onnx", "--yunet", "y.onnx", "--overwrite"], "is an input"),
        (["--identities", ".", "--photos", ".", "--method", "blur"], "--method"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", *arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_report_that_exists_is_replaced_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    for option in ("--json", "--html"):
        assert main(["audit", "a.mp4", "b.mp4", option, str(path)]) == 2
        assert "exists already" in capsys.readouterr().err
        assert main(["audit", "a.mp4", "b.mp4", option, str(path), "--overwrite"]) == 2
        assert "a.mp4" in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_a_missing_library_is_told_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["audit", "missing.mp4", "missing.mp4", "--html", "a.html"]) == 2
    assert "--html needs jinja2" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_passes_an_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing leaks: one frame is told where hair fills half of the box of a man who is painted over. Of
    six rendered people dlib takes one for themselves in two draws of five.
    """
    output = str(tmp_path / "out.mp4")
    assert main(["demo", "-o", output, "--quiet"]) == 0
    code = main(["audit", str(DEMO), output, "--fail-on", "leak>1,reid>0.3"])
    told = capsys.readouterr().out
    assert code == 0, told
    assert "too few people to tell: reid>0.3\npassed" in told
