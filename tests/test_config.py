from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streamanon.config import Config, CoverConfig, DetectConfig, as_dict, load_config
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
    config = load_config(profile(tmp_path, "detect:\n  every: 4\ncover:\n  method: mosaic\n  margin: 1\n"))
    assert config.detect == DetectConfig(every=4)
    assert config.cover == CoverConfig(method="mosaic", margin=1.0)
    assert isinstance(config.cover.margin, float)


def test_overrides_win_and_the_last_one_most(tmp_path: Path) -> None:
    path = profile(tmp_path, "detect: {every: 4}\n")
    overrides = ["detect.every=3", "identity.seed=7", " detect.every = 5", "output.keep_metadata=true"]
    config = load_config(path, overrides)
    assert config.detect.every == 5
    assert config.identity.seed == 7
    assert config.output.keep_metadata is True


def test_an_optional_value_can_be_taken_back() -> None:
    assert load_config(overrides=["identity.seed=7", "identity.seed=null"]).identity.seed is None


def test_what_is_written_out_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(overrides=["detect.size=large", "cover.margin=0.5", "identity.seed=3"])
    path = profile(tmp_path, yaml.safe_dump(as_dict(config)))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("detect.evry=2", "did you mean 'detect.every'"),
        ("detekt.every=2", "did you mean 'detect'"),
        ("detect.zzzzzz=2", "known here: size, every"),
        ("every=2", "unknown setting 'every'"),
        ("detect.every", "section.key=value"),
        ("=2", "section.key=value"),
        ("detect.every=two", "detect.every must be a int"),
        ("detect.every=true", "detect.every must be a int"),
        ("detect.every=2.5", "detect.every must be a int"),
        ("detect.every=[2]", "detect.every must be a int"),
        ("detect.score=true", "detect.score must be a float"),
        ("detect.score=null", "detect.score must be a float"),
        ("output.keep_metadata=1", "output.keep_metadata must be a bool"),
        ("cover.method=blurr", "must be one of synthesize, mosaic, blur, solid"),
        ("cover.method=[blur]", "must be one of"),
        ("detect=2", "detect is a section"),
        ("detect.every.more=2", "detect.every must be"),
        ("detect.every=0", "between 1 and 10"),
        ("detect.every=11", "between 1 and 10"),
        ("detect.score=.nan", "detect.score must lie between"),
        ("lookahead.frames=-1", "lookahead.frames must lie between"),
        ("cover.margin=.inf", "cover.margin must lie between"),
        ("detect.every=[", "cannot read the value"),
        ("identity.seed=2020-13-45", "cannot read the value"),
    ],
)
def test_a_wrong_override_is_told(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_config(overrides=[override])


def test_a_value_cannot_become_a_section() -> None:
    with pytest.raises(ConfigError, match="every holds a value"):
        load_config(overrides=["detect.every=2", "detect.every.more=2"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detect: [1, 2]\n", "detect is a section"),
        ("detect:\n", "detect is a section"),
        ("- detect\n", "not a list"),
        ("just text\n", "not a str"),
        ("detect: {every: 2\n", "not valid YAML"),
        ("detect: {every: 2020-13-45}\n", "not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
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
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(path)


def test_a_wrong_config_cannot_be_made_by_hand_either() -> None:
    with pytest.raises(ConfigError, match=r"detect\.every"):
        Config(detect=DetectConfig(every=99))


def test_config_errors_are_value_errors() -> None:
    with pytest.raises(ValueError):
        load_config(overrides=["detect.evry=2"])


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().detect.every = 3  # type: ignore[misc]


@given(st.text(max_size=30))
def test_any_override_is_read_or_refused(text: str) -> None:
    """Nothing but ConfigError ever comes out, whatever the text."""
    for override in (text, f"detect.every={text}", f"detect.{text}=1"):
        try:
            config = load_config(overrides=[override])
        except ConfigError:
            continue
        assert 1 <= config.detect.every <= 10
