"""A complete file replaces another, a broken one never does, and two runs never share one."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from clips import pass_through, safe, times

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError, SinkError
from streamanon.live.targets import target_of
from streamanon.media.decode import read_frames
from streamanon.media.encode import VideoSink
from streamanon.media.output_file import OutputFile, check_free, check_writable, partial_path, write_file
from streamanon.media.probe import probe

QUICK = OutputConfig(preset="ultrafast")


def broken(clip: Path, target: Path, frames: int, overwrite: bool) -> None:
    """A run that fails after some frames."""
    info = probe(clip)
    with VideoSink(target, info, QUICK, clip, overwrite) as sink:
        for frame in read_frames(clip, info):
            if frame.index == frames:
                raise RuntimeError
            sink.write(safe(frame))


def test_what_exists_is_not_replaced_unasked(tmp_path: Path, clip: Path) -> None:
    target = tmp_path / "b.mp4"
    pass_through(clip, target)
    before = target.read_bytes()
    with pytest.raises(
        ConfigError,
        match=r"b.mp4 exists already; give another name, or --overwrite .in Python overwrite=True.",
    ):
        pass_through(clip, target)
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["b.mp4"]


@pytest.mark.parametrize(("frames", "left"), [(0, False), (5, True)])
def test_a_run_that_fails_leaves_the_first_ones_file(
    tmp_path: Path, clip: Path, frames: int, left: bool
) -> None:
    target = tmp_path / "b.mp4"
    pass_through(clip, target)
    before = target.read_bytes()
    with pytest.raises(RuntimeError):
        broken(clip, target, frames, overwrite=True)
    assert target.read_bytes() == before
    assert partial_path(target).exists() == left
    if left:
        assert len(times(partial_path(target))) == frames


def test_a_partial_file_is_kept_until_it_may_be_replaced(tmp_path: Path, clip: Path) -> None:
    target = tmp_path / "b.mp4"
    with pytest.raises(RuntimeError):
        broken(clip, target, 5, overwrite=False)
    with pytest.raises(ConfigError, match=r"b.partial.mp4 exists already, from another run"):
        pass_through(clip, target)
    broken_off = partial_path(target).read_bytes()
    with pytest.raises(RuntimeError):
        broken(clip, target, 7, overwrite=True)
    assert partial_path(target).read_bytes() != broken_off


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_written_through_a_link_of_the_partial_name(tmp_path: Path, overwrite: bool) -> None:
    """Who may write to the folder could have another file of the user's emptied."""
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "b.partial.mp4").symlink_to(other)
    with pytest.raises(ConfigError, match=r"b.partial.mp4 (is a link to another file|exists already)"):
        OutputFile(tmp_path / "b.mp4", overwrite)
    assert other.read_text() == "precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_runs_never_write_one_file(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "b.mp4"
    with OutputFile(target, overwrite) as first:
        first.write(b"first")
        with pytest.raises((ConfigError, SinkError), match="another run"):
            OutputFile(target, overwrite)
    first.finish()
    assert target.read_bytes() == b"first"


def test_what_was_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "b.mp4") as file:
        file.write(b"mine")
    (tmp_path / "b.mp4").write_bytes(b"theirs")
    with pytest.raises(ConfigError, match="was created meanwhile"):
        file.finish()
    assert (tmp_path / "b.mp4").read_bytes() == b"theirs"
    assert (tmp_path / "b.partial.mp4").read_bytes() == b"mine"


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real.mp4")
    with OutputFile(tmp_path / "link.mp4", overwrite=True) as file:
        file.write(b"new")
    file.finish()
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "real.mp4").read_bytes() == b"new"


def test_devices_are_written_as_they_are(tmp_path: Path) -> None:
    check_free(Path(os.devnull), overwrite=False)
    with OutputFile(Path(os.devnull)) as file:
        assert file.partial is None
    file.finish()


def test_without_locks_nothing_of_an_older_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    partial_path(tmp_path / "b.mp4").write_bytes(b"what was there before")
    with OutputFile(tmp_path / "b.mp4", overwrite=True) as file:
        file.write(b"new")
    file.finish()
    assert (tmp_path / "b.mp4").read_bytes() == b"new"


def test_a_small_file_is_where_the_error_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: OutputFile, content: bytes) -> int:
        (tmp_path / "r.json").write_bytes(b"theirs")
        return real(file, content)

    real = OutputFile.write
    monkeypatch.setattr(OutputFile, "write", write)
    with pytest.raises(ConfigError, match=r"r\.partial\.json"):
        write_file(tmp_path / "r.json", b"mine")
    assert (tmp_path / "r.partial.json").read_bytes() == b"mine"


def test_a_small_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OutputFile, "write", full)
    with pytest.raises(SinkError, match="No space"):
        write_file(tmp_path / "r.json", b"mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".ts", ".mp4"])
def test_a_pipe_that_nobody_reads_is_told_in_the_systems_words(
    tmp_path: Path, clip: Path, suffix: str
) -> None:
    """Also where the last frames fail first, and then the end of the file."""
    read, write = os.pipe()
    target = tmp_path / f"out{suffix}"
    target.symlink_to(f"/dev/fd/{write}")
    info = probe(clip)
    sink = VideoSink(target, info, OutputConfig(), clip)
    for frame in read_frames(clip, info):
        sink.write(safe(frame))
    os.close(read)
    with pytest.raises(SinkError, match="Broken pipe"):
        sink.close()
    os.close(write)


@pytest.mark.parametrize(
    "check", [lambda path: check_writable(path, False), lambda path: target_of(str(path))]
)
def test_a_folder_that_must_not_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or mode != os.W_OK)
    with pytest.raises(ConfigError, match=r"a\.mkv: choose a folder that you may write to"):
        check(tmp_path / "a.mkv")


def test_a_file_that_is_replaced_keeps_who_may_read_it(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    write_file(target, b"{}")
    target.chmod(0o600)
    write_file(target, b"[]", overwrite=True)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"[]", 0o600)
