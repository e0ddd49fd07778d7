from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streamanon.config import (
    Config,
    CoverConfig,
    DetectConfig,
    IdentityConfig,
    OutputConfig,
    PersonRule,
    as_dict,
    load_config,
)
from streamanon.errors import ConfigError


def profile(folder: Path, text: str) -> Path:
    path = folder / "profile.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_profile_the_defaults_hold() -> None:
    assert load_config() == Config()


def test_an_empty_profile_is_the_defaults(tmp_path: Path) -> None:
    assert load_config(profile(tmp_path, "# nothing\n")) == Config()


def test_the_defaults_are_those_of_the_profile_for_files() -> None:
    assert load_config(Path(__file__).parent.parent / "configs" / "file.yaml") == Config()


def test_a_profile_changes_what_it_names(tmp_path: Path) -> None:
    config = load_config(profile(tmp_path, "detect: {score: 0.2}\ncover:\n  method: mosaic\n  margin: 1\n"))
    assert config.detect == DetectConfig(score=0.2)
    assert config.cover == CoverConfig(method="mosaic", margin=1.0)
    assert isinstance(config.cover.margin, float)


def test_overrides_win_and_the_last_one_most(tmp_path: Path) -> None:
    path = profile(tmp_path, "detect: {score: 0.2}\n")
    overrides = [
        "detect.score=0.3",
        " detect.score = 0.5",
        "identity.seed=7",
        "output.keep_metadata=true",
    ]
    config = load_config(path, overrides)
    assert config.detect.score == 0.5
    assert config.identity.seed == 7
    assert config.output.keep_metadata is True


def test_an_optional_value_can_be_taken_back() -> None:
    assert load_config(overrides=["identity.seed=7", "identity.seed=null"]).identity.seed is None


def test_what_is_written_out_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(overrides=["detect.size=large", "cover.margin=0.5", "identity.epsilon=3"])
    path = profile(tmp_path, yaml.safe_dump(as_dict(config)))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("detect.scre=2", "did you mean 'detect.score'"),
        ("detekt.score=2", "did you mean 'detect'"),
        ("detect.zzzzzz=2", "known here: size, interval_seconds"),
        ("score=2", "unknown setting 'score'"),
        ("detect.score", "section.key=value"),
        ("=2", "section.key=value"),
        ("output.crf=two", "output.crf must be a whole number"),
        ("output.crf=true", "output.crf must be a whole number"),
        ("output.crf=2.5", "output.crf must be a whole number"),
        ("output.crf=[2]", "output.crf must be a whole number"),
        ("detect.score=true", "detect.score must be a number"),
        ("detect.score=null", "detect.score must be a number"),
        ("output.keep_metadata=1", "output.keep_metadata must be true or false"),
        ("cover.method=blurr", "must be one of synthesize, fill, mosaic, blur, solid"),
        ("cover.method=[blur]", "must be one of"),
        ("detect=2", "detect is a section"),
        ("detect.score.more=2", "detect.score must be"),
        ("detect.interval_seconds=-1", "between 0.0 and 0.4"),
        ("detect.interval_seconds=1", "between 0.0 and 0.4"),
        ("detect.score=nan", "detect.score must lie between"),
        ("detect.score=1", "detect.score must lie between"),
        ("detect.revive_score=1", "detect.revive_score must lie between"),
        ("lookahead.seconds=-1", "lookahead.seconds must lie between"),
        ("lookahead.frames=25", "lookahead.frames is now lookahead.seconds, in seconds"),
        ("lookahead.coast_frames=25", "lookahead.coast_frames is now lookahead.coast_seconds, in seconds"),
        ("detect.every=3", "detect.every is now detect.interval_seconds, in seconds"),
        ("cover.fade_frames=4", "cover.fade_frames is now cover.fade_seconds, in seconds"),
        ("detect.paranoid=true", "detect.paranoid is now cover.paranoid"),
        ("cover.margin=0.2", "cover.margin must lie between 0.21"),
        ("cover.margin=inf", "cover.margin must lie between"),
        ("output.crf=[", "output.crf must be a whole number"),
        ("identity.seed=2020-13-45", "identity.seed must be a whole number"),
        ("identity.ttl_seconds=1:30", "identity.ttl_seconds must be a number, not '1:30'"),
        ("identity.people=[", "cannot read the value of identity.people"),
    ],
)
def test_a_wrong_override_is_told(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_config(overrides=[override])


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("identity.gallery=set #2.npz", "set #2.npz"),
        ("identity.gallery=a=b: c.npz", "a=b: c.npz"),
        ("identity.delegate=007", "007"),
        ("identity.epsilon=1e1", 10.0),
        ("identity.ttl_seconds=90", 90.0),
        ("output.preset=no", "no"),
        ("identity.seed= 12", 12),
    ],
)
def test_an_override_is_read_by_its_type(override: str, value: object) -> None:
    section, name = override.partition("=")[0].split(".")
    assert getattr(getattr(load_config(overrides=[override]), section), name) == value


def test_a_value_cannot_become_a_section() -> None:
    with pytest.raises(ConfigError, match="score holds a value"):
        load_config(overrides=["detect.score=0.2", "detect.score.more=2"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detect: [1, 2]\n", "detect is a section"),
        ("detect:\n", "detect is a section"),
        ("- detect\n", "not a list"),
        ("just text\n", "not a str"),
        ("detect: {score: 0.2\n", "not valid YAML"),
        ("detect: {score: 2020-13-45}\n", "not valid YAML"),
        ("detect:\n  score: 1\n\tcover: 2\n", r"not valid YAML: .*, line 3"),
        ("detect:\n  a: 1\n  a: 2\n", r"a is given twice, line 3"),
        pytest.param("[" * 5000, "not valid YAML", marks=pytest.mark.slow),
        ("a: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        ("cover: {method: !!timestamp x}\n", "not valid YAML: a value does not fit its tag"),
        ("output: {codec: !!map [1]}\n", "not valid YAML: a value does not fit its tag"),
        ("!!bool x: 1\n", "not valid YAML: a value does not fit its tag"),
        pytest.param(f"cover: {{margin: {10**400}}}\n", r"cover\.margin must be a smaller", id="huge"),
        ("1: 2\n", "unknown setting '1'"),
    ],
)
def test_a_wrong_profile_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(profile(tmp_path, text))


def test_a_missing_profile_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the profile .*none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_a_profile_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="no text in UTF-8"):
        load_config(path)


def test_a_wrong_config_cannot_be_made_by_hand_either() -> None:
    with pytest.raises(ConfigError, match=r"detect\.interval_seconds"):
        Config(detect=DetectConfig(interval_seconds=99))


def test_config_errors_are_value_errors() -> None:
    with pytest.raises(ValueError):
        load_config(overrides=["detect.scre=2"])


def test_types_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluating them takes milliseconds, and an image or a camera's section builds several."""
    load_config()

    def fails(_: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr("streamanon.config.get_type_hints", fails)
    assert load_config(overrides=["detect.score=0.5"]).detect.score == 0.5


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().detect.score = 0.3  # type: ignore[misc]


@pytest.mark.slow
@given(st.text(max_size=30))
def test_any_override_is_read_or_refused(text: str) -> None:
    """Nothing but ConfigError ever comes out, whatever the text."""
    for override in (text, f"detect.interval_seconds={text}", f"detect.{text}=1"):
        try:
            config = load_config(overrides=[override])
        except ConfigError:
            continue
        assert 0 <= config.detect.interval_seconds <= 0.4


@pytest.mark.parametrize(
    "text", ["cover: {method: solid}\ncover: {margin: 0.4}", "cover: {margin: 1, margin: 2}"]
)
def test_a_name_that_stands_twice_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is given twice"):
        load_config(profile(tmp_path, text))


def test_numbers_of_a_profile_are_decimal(tmp_path: Path) -> None:
    config = load_config(profile(tmp_path, "identity: {epsilon: 1e1, seed: 010, ttl_seconds: .5}\n"))
    assert (config.identity.epsilon, config.identity.seed, config.identity.ttl_seconds) == (10.0, 10, 0.5)
    with pytest.raises(ConfigError, match="ttl_seconds must be a number, not '1:30'"):
        load_config(profile(tmp_path, "identity: {ttl_seconds: 1:30}\n"))


def test_a_gallery_is_named_without_its_folder() -> None:
    config = load_config(None, ["identity.gallery=/home/anna/secret place/mine.npz"])
    assert as_dict(config)["identity"]["gallery"] == "mine.npz"


@pytest.mark.parametrize("text", ["[face, 0]", "['face', 0]"])
def test_classes_are_names_or_numbers(tmp_path: Path, text: str) -> None:
    assert load_config(None, [f"detect.classes={text}"]).detect.classes == ("face", 0)
    (tmp_path / "own.yaml").write_text(f"detect:\n  model: own.onnx\n  classes: {text}\n")
    detect = load_config(tmp_path / "own.yaml").detect
    assert (detect.model, detect.classes) == ("own.onnx", ("face", 0))


@pytest.mark.parametrize("text", ["face", "0", "[1.5]", "[true]", "[[0]]"])
def test_other_classes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"detect\.classes"):
        load_config(None, [f"detect.classes={text}"])


def test_a_report_names_nobody_and_no_secret_of_the_draw() -> None:
    """With the seed the noise of each draw is known, and the delegate then tells more of the person than
    epsilon allows.
    """
    people = "[{photo: /home/ann/jane.jpg, name: jane roe}, {photo: me.png, keep: true}]"
    given = ["identity.seed=271828", "identity.key=/home/ann/my.key", f"identity.people={people}"]
    told = as_dict(load_config(None, given))["identity"]
    assert (told["seed"], told["key"]) == ("given", "given")
    assert [(one["photo"], one["name"], one["keep"]) for one in told["people"]] == [
        ("given", "given", False),
        ("given", None, True),
    ]


def test_a_report_names_no_folder_of_a_model() -> None:
    config = load_config(None, ["detect.model=/home/ann/face.onnx"])
    assert as_dict(config)["detect"]["model"] == "face.onnx"


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"output": (OutputConfig, {"audio": "off"})}, "output.audio must be one of copy, drop, not 'off'"),
        ({"cover": (CoverConfig, {"method": "blurred"})}, "cover.method must be one of"),
        ({"cover": (CoverConfig, {"paranoid": "false"})}, "cover.paranoid must be true or false"),
        ({"output": (OutputConfig, {"crf": "18"})}, "output.crf must be a whole number"),
        ({"cover": (CoverConfig, {"keep_regions": ((0, 0, 9, 9),)})}, r"keep_regions\[0\] must be text"),
        ({"output": (dict, {"crf": 18})}, "output must be of the class OutputConfig, not dict"),
    ],
)
def test_a_configuration_made_in_code_is_checked_as_a_profile_is(
    sections: dict[str, tuple[Any, dict[str, Any]]], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Config(**{name: kind(**values) for name, (kind, values) in sections.items()})


def test_a_configuration_made_in_code_takes_paths_and_rules() -> None:
    gallery: Any = Path("a.npz")
    Config(identity=IdentityConfig(gallery=gallery, people=(PersonRule("a.jpg"),)))
