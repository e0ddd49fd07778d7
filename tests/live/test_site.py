"""Site files: what is wrong with them, in one sentence each; and what they mean."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from streamanon.commands.live import _Flags, _Reloading, _Site
from streamanon.errors import ConfigError, SourceError
from streamanon.live.connection import Connection, SourceOptions
from streamanon.live.service import Service
from streamanon.live.site import (
    CameraSection,
    check_site,
    files_of,
    load_site,
    parse_status,
    plan,
    seconds_of,
    with_threads,
)
from streamanon.live.states import Journal
from streamanon.live.targets import target_of


def write(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text.replace("TMP", str(folder)))
    return path


GOOD = """
status: 127.0.0.1:9999
cameras:
  gate:
    source: rtsp://user:p@ss/word@10.0.0.5/stream
    to: [rtmp://server/app/key, "hls://TMP/gate"]
    profile: cctv
    set: [output.crf=30]
    audio: mask
    give_up_after: 10m
  door:
    source: "@TMP/door.txt"
    to: TMP/door-%Y%m%d-%H%M%S.mkv
    segment: 60
    keep: 7d
"""


def test_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "door.txt").write_text("rtsp://u:secret@door/s\n")
    path = write(tmp_path, GOOD)
    assert check_site(path) == []
    site = load_site(path)
    assert site.status == "127.0.0.1:9999"
    gate, door = (plan(name, section) for name, section in site.sections.items())
    assert gate.config.output.crf == 30
    assert gate.config.detect.size == "large"
    assert gate.settings.give_up_after == 600
    assert door.settings.source.address == "rtsp://u:secret@door/s"
    assert door.settings.targets[0].more == {"keep_seconds": 7 * 86400}
    assert door.settings.targets[0].options["segment_time"] == "60.000000"
    assert "secret" not in repr(door)
    assert "p@ss" not in repr(gate)


@pytest.mark.parametrize(
    ("section", "audio"),
    [
        (CameraSection(profile="cctv"), "drop"),
        (CameraSection(profile="dashcam"), "keep"),
        (CameraSection(), "keep"),
        (CameraSection(profile="cctv", audio="keep"), "keep"),
        (CameraSection(profile="cctv", audio="mask"), "mask"),
        (CameraSection(set=("output.audio=drop",)), "drop"),
        (CameraSection(audio="drop"), "drop"),
    ],
)
def test_sound_goes_out_only_where_the_profile_or_the_camera_says_so(
    section: CameraSection, audio: str, tmp_path: Path
) -> None:
    one = plan("a", replace(section, source="rtsp://c/s", to=(str(tmp_path / "a.mkv"),)))
    assert one.settings.audio == audio
    assert one.settings.source.sound == (audio != "drop")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras: {}", "contains no camera"),
        ("camera: {}", "unknown key 'camera'"),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'rtmp://h/a/k', set: [output.codec=hevc]}}",
            "takes H.264: leave output.codec out",
        ),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', set: [output.codec=av1]}}",
            "live outputs are h264 or hevc",
        ),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', set: [compute.decoder=cuda]}}",
            "cameras are decoded on the CPU",
        ),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', set: ['cover.keep_tracks=[\"1@2,3\"]']}}",
            "(cover.keep_tracks) is for files",
        ),
        ("cameras: {a: {sorce: x}}", "unknown setting 'cameras.a.sorce'; did you mean 'cameras.a.source'"),
        ("cameras: {a: {to: x.mkv}}", "has no source"),
        ("cameras: {a: {source: 'rtsp://c/s'}}", "has no output"),
        ("cameras: {a: {source: 'rtsp://c/s', to: 'x.avi'}}", "cannot write x.avi"),
        ("cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', profile: nope}}", "no profile 'nope'"),
        ("cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', keep: soon}}", "takes a duration"),
        ("cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', loop: true}}", "only apply to files"),
        ("cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', audio: loud}}", "must be one of"),
        ("cameras: {a: {source: nofile.mp4, to: 'udp://h:1'}}", "no file nofile.mp4"),
        (
            "cameras: {a: {source: 'rtmp://h/in/key', to: 'udp://h:1', rtsp_transport: udp}}",
            "leave rtsp_transport out: it has no effect on rtmp://h/***",
        ),
        ("cameras: {'a b': {source: 'rtsp://c/s', to: 'udp://h:1'}}", "may only contain letters"),
        ("cameras: {a: {source: 'rtsp://c/s', to: \"x\\0.mkv\"}}", "holds a control character"),
        ("cameras: {a: {source: ' rtsp://u:p@c/s', to: 'udp://h:1'}}", "before or after rtsp://***@c/s;"),
        ("cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1 '}}", "before or after udp://h:1;"),
        ("cameras: {a: {source: 'rtsp://c/s', to: TMP/x-%S.mkv, segment: 1e30}}", "takes a duration"),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: TMP/x-%F-%T.mkv},"
            " b: {source: 'rtsp://d/s', to: 'TMP/x-%Y-%m-%d-%H:%M:%S.mkv'}}",
            "also written by a",
        ),
        ("status: ²\ncameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1'}}", "takes HOST:PORT"),
        ("status: here\ncameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1'}}", "takes HOST:PORT"),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1'}, b: {source: 'rtsp://d/s', to: 'udp://h:1'}}",
            "also written by a",
        ),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'mjpeg://127.0.0.1:81'},"
            " b: {source: 'rtsp://d/s', to: 'mjpeg://0.0.0.0:81'}}",
            "also written by a",
        ),
        (
            "status: 81\ncameras: {a: {source: 'rtsp://c/s', to: 'mjpeg://127.0.0.1:81'}}",
            "also written by status",
        ),
        ("cameras: {a: {source: 'rtsp://c/s', to: [TMP/x.mkv, TMP/./x.mkv]}}", "x.mkv is given twice"),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', keep: 1h}}",
            "segment and keep only apply to rolling archives",
        ),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: TMP/x.mkv, segment: 5m}}",
            "segment and keep only apply to rolling archives",
        ),
        ("cameras: {a: {source: 'rtsp://', to: 'udp://h:1'}}", "rtsp:// names no server"),
        ("cameras: {a: {source: 'rtsp://c:99999/s', to: 'udp://h:1'}}", "no valid server and port"),
        ("cameras: {a: {source: 'rtsp://[::1/s', to: 'udp://h:1'}}", "no valid server and port"),
        ("cameras: {a: {source: 'udp://239.0.0.1', to: 'udp://h:1'}}", "names no port"),
        (
            "cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', set: [identity.key=/nowhere/k]}}",
            "there is no file /nowhere/k",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    faults = check_site(write(tmp_path, text))
    assert len(faults) == 1, faults
    assert said in faults[0]


@pytest.mark.parametrize(
    "address",
    [
        "udp://:9000",
        "udp://@239.0.0.1:9000",
        "srt://:9000?mode=listener",
        "srt://c:9000?streamid=read:path",
        "srt://c:9000?streamid=#!::m=request,u=name,r=path",
        "rtsp://u:p@s/:#@c/s",
    ],
)
def test_addresses_that_are_right(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _program: "/usr/bin/srt-live-transmit")
    text = f"cameras: {{a: {{source: '{address}', to: 'hls://TMP/a'}}}}"
    assert check_site(write(tmp_path, text)) == []


def test_outputs_that_differ_in_what_is_hidden_are_told_apart(tmp_path: Path) -> None:
    """Else the state of one stood for both: /readyz said that all was well while one was away."""
    to = ("rtmp://server/app/one", "rtmp://server/app/two", str(tmp_path / "x.mkv"))
    made = plan("gate", CameraSection("rtsp://camera/s", to))
    shown = [target.shown for target in made.settings.targets]
    assert shown == ["rtmp://server/***", "rtmp://server/*** (2)", str(tmp_path / "x.mkv")]


def test_whatever_is_wrong_with_a_changed_file_the_cameras_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = _Site(write(tmp_path, "cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1'}}"))
    site.plans()
    lines: list[str] = []
    flags = _Flags()
    journal = Journal(False, lines.append)
    reloading = _Reloading(site, Service(journal, cores=1), journal, flags)

    def fails(_self: _Site) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(_Site, "plans", fails)
    flags.reload = True
    reloading.look()
    assert len(lines) == 1
    assert lines[0].startswith("streamanon: all: not reloaded: ")


def test_a_source_is_not_overwritten_by_its_own_output(tmp_path: Path) -> None:
    video = tmp_path / "video.mkv"
    video.write_bytes(b"raw")
    (tmp_path / "link.mkv").symlink_to(video)
    text = "cameras: {a: {source: TMP/video.mkv, to: TMP/link.mkv, overwrite: true}}"
    (fault,) = check_site(write(tmp_path, text))
    assert "is the source, too" in fault
    (fault,) = check_site(
        write(tmp_path, "cameras: {a: {source: 'rtmp://h/in/key', to: 'rtmp://h/in/key'}}")
    )
    assert "is the source, too" in fault
    assert "key" not in fault


def test_a_missing_program_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    (fault,) = check_site(write(tmp_path, "cameras: {a: {source: 'srt://c:1', to: 'hls://TMP/a'}}"))
    assert "install the package srt-tools" in fault


def test_the_files_that_a_section_names_are_part_of_it(tmp_path: Path) -> None:
    address, profile = tmp_path / "door.txt", tmp_path / "own.yaml"
    address.write_text("rtsp://u:old@door/s")
    profile.write_text("output: {crf: 20}")
    section = CameraSection(f"@{address}", ("udp://h:1",), profile=str(profile))
    before = files_of(section)
    assert files_of(section) == before
    address.write_text("rtsp://u:new@door/s")
    assert files_of(section) != before
    before = files_of(section)
    profile.write_text("output: {crf: 21}")
    assert files_of(section) != before


def test_all_faults_are_told_at_once_and_no_password(tmp_path: Path) -> None:
    text = "cameras: {a: {source: 'rtsp://u:secret@c/s'}, b: {source: 'rtsp://u:secret@d/s', to: 'ftp://u:secret@h'}}"
    faults = check_site(write(tmp_path, text))
    assert len(faults) == 2
    assert "secret" not in str(faults)


def test_durations() -> None:
    assert [seconds_of(text, "x") for text in ("90", "90s", "10m", "6h", "7d")] == [
        90,
        90,
        600,
        21600,
        604800,
    ]
    for bad in ("", "0", "-5", "1w"):
        with pytest.raises(ConfigError):
            seconds_of(bad, "x")


def test_a_port_alone_is_this_machine_only() -> None:
    assert parse_status("9464") == ("127.0.0.1", 9464)
    assert parse_status("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_status("[::1]:80") == ("::1", 80)


def test_cores_are_shared_out(tmp_path: Path) -> None:
    (tmp_path / "door.txt").write_text("rtsp://door/s")
    site = load_site(write(tmp_path, GOOD))
    one = plan("gate", site.sections["gate"])
    assert with_threads(one, 4, 8).settings.encoder_threads == 2
    assert with_threads(one, 40, 8).settings.encoder_threads == 1
    assert with_threads(one, 4, 8).config.compute.threads == 8


def test_a_file_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    """Its first half may be valid, and lack cameras, which would be stopped."""
    path = write(tmp_path, GOOD.replace("@TMP/door.txt", "rtsp://door/s"))
    whole = path.read_text()
    site = _Site(path)
    assert len(site.plans()) == 2
    assert not site.has_changed()
    path.write_text(whole[: whole.index("  door")])
    assert not site.has_changed()
    path.write_text(whole.replace("7d", "8d "))
    assert not site.has_changed()
    assert site.has_changed()
    assert len(site.plans()) == 2
    assert not site.has_changed()


def test_names_that_begin_like_a_protocol_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("10:%S.mkv", "hls://a:b"):
        target = target_of(text)
        assert target.address.startswith(str(tmp_path))
        assert target.shown == text
    (tmp_path / "10:30.mp4").write_bytes(b"no video")
    with pytest.raises(SourceError, match=r"10:30\.mp4 sends no video that can be read"):
        Connection(SourceOptions("10:30.mp4"))
