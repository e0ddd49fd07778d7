"""Outputs: queues that never wait, children that hang or die, what is kept of an archive."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import pytest
from live_scenes import RATE, an_info, look_at, no_thread, scene, wait_for

import streamanon.live.backoff as backoff
import streamanon.live.outputs as outputs
import streamanon.live.publish as publish
from streamanon.config import OutputConfig
from streamanon.errors import ConfigError, SinkError
from streamanon.live.encode import AAC_SAMPLES, Encoder
from streamanon.live.outputs import ChildOutput, OutputCounts, PacketQueue
from streamanon.live.retention import EVERY_SECONDS, Retention, new_file, remove_empty
from streamanon.live.sound import SoundTrack
from streamanon.live.states import State
from streamanon.live.targets import Archiving, target_of
from streamanon.live.wire import AUDIO, VIDEO, Encoded, Hello, packets
from streamanon.media.address import redact_text
from streamanon.testing.safe_frames import unchecked_safe_frame
from streamanon.types import RawFrame

TICK = Fraction(1, 90000)


def packet(number: int, key: bool = False, kind: int = VIDEO, size: int = 10) -> Encoded:
    return Encoded(kind, key, number * 3600, number * 3600, 3600, bytes(size))


def numbers(queue: PacketQueue) -> list[int]:
    found = []
    while (one := queue.get(0)) is not None:
        found.append(one.pts // 3600)
    return found


def test_packets_come_back_from_the_wire() -> None:
    sent = [packet(1, True), packet(2, kind=AUDIO, size=0), Encoded(VIDEO, False, -5, -7, 0, b"abc")]
    data = b"".join(one.to_bytes() for one in sent) + b"\0\1"

    def read(size: int) -> bytes:
        nonlocal data
        taken, data = data[:size], data[size:]
        return taken

    assert list(packets(read)) == sent


def test_a_hello_comes_back_and_hides_nothing_in_the_command_line() -> None:
    hello = Hello("network", "rtmp://a:b@c/d", "flv", {"x": "1"}, b"\0\1", b"\2", {"keep_seconds": None})
    assert Hello.of(hello.to_bytes()) == hello


def test_a_queue_begins_with_a_key_frame() -> None:
    queue = PacketQueue(OutputCounts())
    for number in range(10):
        queue.put(packet(number, number == 4))
    assert numbers(queue) == [4, 5, 6, 7, 8, 9]


def test_a_slow_reader_loses_whole_groups() -> None:
    counts = OutputCounts()
    queue = PacketQueue(counts)
    for number in range(130):
        queue.put(packet(number, number % 25 == 0))
    left = numbers(queue)
    assert left[0] % 25 == 0
    assert left == list(range(left[0], 130))
    assert counts.groups_dropped >= 1
    assert counts.dropped + len(left) == 130


def test_one_group_that_is_too_much_is_dropped_up_to_the_next() -> None:
    queue = PacketQueue(OutputCounts())
    for number in range(150):
        queue.put(packet(number, number in (0, 140)))
    assert numbers(queue) == list(range(140, 150))


def test_a_queue_waits_for_room_where_it_is_told_to() -> None:
    queue, taken = PacketQueue(OutputCounts()), []

    def take() -> None:
        while (one := queue.get(5)) is not None:
            taken.append(one.pts // 3600)

    thread = threading.Thread(target=take)
    thread.start()
    for number in range(300):
        queue.put(packet(number, number == 0), wait_seconds=5)
    queue.close()
    thread.join()
    assert taken == list(range(300))


class Sender:
    """Encodes the scene and gives it to outputs."""

    def __init__(self, sound: bool = True, codec: Literal["h264", "hevc"] = "h264") -> None:
        config = OutputConfig(codec=codec, preset="ultrafast")
        self.encoder = Encoder(an_info(), config, Fraction(RATE), sound)
        self.told: list[tuple[State, str]] = []
        self._track = SoundTrack() if sound else None
        self._number = 0
        self._scene = list(scene(25))

    def open(self, text: str, **more: float) -> ChildOutput:
        target = target_of(text, Archiving(100.0))
        tell = lambda state, reason: self.told.append((state, reason))  # noqa: E731
        return ChildOutput(target, self.encoder.header, self.encoder.setup, tell, **more)

    def send(self, count: int, *to: ChildOutput, pause: float = 0.0) -> None:
        for _ in range(count):
            raw = self._scene[self._number % 25]
            frame = RawFrame(self._number, (self._number + 100) * 3600, Fraction(1, 90000), raw.picture)
            made = self.encoder.video(unchecked_safe_frame(frame), time.monotonic())
            if self._track is not None:
                for piece in self._track.until((self._number + 101) / RATE, AAC_SAMPLES):
                    made += self.encoder.sound(*piece)
            self._number += 1
            for one in made:
                for output in to:
                    output.offer(one, 0 if pause else 30)
            time.sleep(pause)


def finish(*some: ChildOutput) -> None:
    for one in some:
        one.close()
    for one in some:
        one.join(30)


def test_files_archives_and_playlists(tmp_path: Path) -> None:
    sender = Sender()
    names = ["a.mkv", "b.mp4", "c.ts", "part-%S.mkv"]
    for second in range(60):  # none of which is replaced
        (tmp_path / f"part-{second:02}.mkv").write_bytes(b"")
    some = [sender.open(str(tmp_path / name)) for name in names]
    some.append(sender.open(f"hls://{tmp_path / 'hls'}"))
    sender.send(75, *some)
    finish(*some)
    for name in names[:3]:
        assert len(look_at(tmp_path / name)) == 75, name
        with av.open(str(tmp_path / name)) as opened:
            assert opened.streams.audio, name
    playlist = (tmp_path / "hls" / "index.m3u8").read_text()
    assert playlist.count("#EXTINF") == 3
    assert "PROGRAM-DATE-TIME" in playlist
    assert "init-" in playlist
    assert sum(len(look_at(path)) for path in tmp_path.glob("part-*_2.mkv")) == 75
    assert {state for state, _ in sender.told} == {State.RUNNING, State.ENDED}


@pytest.mark.slow
def test_hevc(tmp_path: Path) -> None:
    sender = Sender(codec="hevc")
    names = ["a.mkv", "b.mp4", "c.ts"]
    some = [sender.open(str(tmp_path / name)) for name in names]
    some.append(sender.open(f"hls://{tmp_path / 'hls'}"))
    sender.send(75, *some)
    finish(*some)
    for name in (*names, "hls/index.m3u8"):
        assert len(look_at(tmp_path / name)) == 75, name
        with av.open(str(tmp_path / name)) as opened:
            context = opened.streams.video[0].codec_context
            assert context.name == "hevc"
            assert context.codec_tag == {"b.mp4": "hvc1", "hls/index.m3u8": "hvc1"}.get(
                name, context.codec_tag
            )


@pytest.mark.slow
def test_a_child_that_is_killed_is_started_again(tmp_path: Path) -> None:
    sender = Sender(sound=False)
    output = sender.open(f"hls://{tmp_path / 'hls'}")
    sender.send(30, output)
    assert wait_for(lambda: output.status.state is State.RUNNING, 60)
    child = output._child
    assert child is not None
    os.kill(child._process.pid, signal.SIGKILL)
    assert wait_for(lambda: output.status.state is State.LOST, 60)
    assert wait_for(lambda: output.status.state is State.RUNNING or not _send_more(sender, output), 60)
    assert output.counts.restarts >= 1
    finish(output)


@pytest.mark.slow
def test_a_hundred_killed_children_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(backoff, "LONGEST_SECONDS", 0.001)
    sender = Sender(sound=False)
    before = threading.active_count(), len(os.listdir("/proc/self/fd")), _children()
    output = sender.open(f"hls://{tmp_path / 'hls'}")
    killed = None
    for number in range(1, 101):
        while output._child is None or output._child is killed:
            time.sleep(0.001)
        killed = output._child
        os.kill(killed._process.pid, signal.SIGKILL)
        while output.counts.restarts < number:
            time.sleep(0.001)
        sender.send(1, output, pause=0.001)
    assert _children() <= before[2] + 2
    assert threading.active_count() <= before[0] + 3
    finish(output)
    assert wait_for(lambda: threading.active_count() <= before[0])
    assert wait_for(lambda: _children() == before[2])
    assert len(os.listdir("/proc/self/fd")) <= before[1] + 1


def _children() -> int:
    """Processes that this one has started and that are there, or were not waited for."""
    tasks = Path("/proc/self/task").glob("*/children")
    return sum(len(one.read_text().split()) for one in tasks)


def _send_more(sender: Sender, output: ChildOutput) -> bool:
    sender.send(5, output, pause=0.01)
    return True


def test_a_child_that_hangs_is_killed_and_the_others_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal, as behind a server that takes nothing more."""
    sender = Sender(sound=False)
    good, bad = sender.open(str(tmp_path / "good.mkv")), sender.open(str(tmp_path / "bad-%s-%S.mkv"))
    bad._stall_seconds = 1.0
    sender.send(10, good, bad)
    assert wait_for(lambda: bad.status.state is State.RUNNING and good.status.state is State.RUNNING, 60)
    child = bad._child
    assert child is not None
    os.kill(child._process.pid, signal.SIGSTOP)
    begun = time.monotonic()
    while bad.counts.stalls == 0 and time.monotonic() - begun < 60:
        sender.send(1, good, pause=0.0)
        sender.send(1, good, bad, pause=0.02)
    total = sender._number
    assert bad.counts.stalls == 1
    assert (State.LOST, "no progress for 1 seconds") in sender.told
    finish(good, bad)
    assert good.counts.dropped == 0
    assert len(look_at(tmp_path / "good.mkv")) == total


def test_a_server_that_refuses_is_told_without_its_key(tmp_path: Path) -> None:
    sender = Sender(sound=False)
    output = sender.open("rtmp://user:secret@127.0.0.1:1/app/hidden")
    sender.send(3, output)
    assert wait_for(lambda: output.status.state is State.LOST, 60)
    finish(output)
    assert "refused" in output.status.reason or "refused" in str(sender.told)
    assert "secret" not in str(sender.told) + output.target.shown + repr(output.target)
    assert "hidden" not in str(sender.told) + output.target.shown + repr(output.target)


def test_only_safe_frames_are_encoded() -> None:
    encoder = Encoder(an_info(), OutputConfig(preset="ultrafast"), Fraction(RATE), False)
    with pytest.raises(TypeError, match="only a SafeFrame"):
        encoder.video(next(iter(scene(1))))  # type: ignore[arg-type]


def test_key_frames_come_each_second_whatever_the_rate() -> None:
    encoder = Encoder(an_info(), OutputConfig(preset="ultrafast"), Fraction(RATE), False)
    keys = []
    for raw in scene(30):  # ten a second, though 25 are declared
        frame = RawFrame(raw.index, raw.index * 9000, Fraction(1, 90000), raw.picture)
        keys += [raw.index for one in encoder.video(unchecked_safe_frame(frame)) if one.key]
    assert keys == [0, 10, 20]


def test_there_are_no_b_frames() -> None:
    encoder = Encoder(an_info(), OutputConfig(preset="ultrafast"), Fraction(RATE), False)
    made = [
        one
        for raw in scene(30)
        for one in encoder.video(unchecked_safe_frame(replace(raw, pts=raw.pts * 3600, time_base=TICK)))
    ]
    assert len(made) == 30, "a packet a frame, at once"
    assert all(one.pts == one.dts for one in made)


def test_one_frame_again_and_again_a_hundred_times_a_second() -> None:
    """The rate control goes by the declared rate; times and key frames must not."""
    encoder = Encoder(an_info(), OutputConfig(preset="ultrafast"), Fraction(RATE), False)
    raw, made = next(iter(scene(1))), []
    for number in range(300):
        frame = replace(raw, index=number, pts=number * 900, time_base=TICK)
        made += encoder.video(unchecked_safe_frame(frame))
    assert [one.pts for one in made] == [number * 900 for number in range(300)]
    assert sum(one.key for one in made) <= 7


def test_old_files_of_an_archive_are_removed_and_no_others(tmp_path: Path) -> None:
    old, new, other = (
        tmp_path / name for name in ("cam-20260101-000000.mkv", "cam-20260102-000000.mkv", "cam-notes.mkv")
    )
    for path in (old, new, other):
        path.write_bytes(b"x")
    os.utime(old, (1000, 1000))
    os.utime(other, (1000, 1000))
    os.utime(new, (5000, 5000))
    kept = Retention(tmp_path / "cam-%Y%m%d-%H%M%S.mkv", 600)
    kept.keep(5100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cam-20260102-000000.mkv", "cam-notes.mkv"]
    kept.keep(5101 + EVERY_SECONDS * 100)
    assert new.exists(), "the newest is being written"
    newer = tmp_path / "cam-20260103-000000.mkv"
    newer.write_bytes(b"")
    os.utime(newer, (5001, 5001))
    kept.keep(5102 + EVERY_SECONDS * 200)
    assert sorted(path.name for path in tmp_path.iterdir()) == [newer.name, "cam-notes.mkv"]


def test_old_files_are_removed_when_the_clock_was_set_back(tmp_path: Path) -> None:
    kept = Retention(tmp_path / "cam-%S.mkv", 600)
    kept.keep(2e9)
    for second in (1, 2):
        (tmp_path / f"cam-0{second}.mkv").write_bytes(b"x")
        os.utime(tmp_path / f"cam-0{second}.mkv", (second, second))
    kept.keep(1e9)
    assert [path.name for path in tmp_path.iterdir()] == ["cam-02.mkv"]


def test_long_files_of_an_archive(tmp_path: Path) -> None:
    """FFmpeg takes no 2.592e+06."""
    target = target_of(str(tmp_path / "cam-%S.mkv"), Archiving(30 * 86400.0))
    with av.open(target.address, "w", format=target.muxer, options=target.options) as output:
        output.add_stream("libx264", rate=RATE)
        output.start_encoding()


def test_a_file_of_an_archive_replaces_none(tmp_path: Path) -> None:
    """As its name comes again when summer time ends."""
    path = tmp_path / "cam-02.mkv"
    for content in (b"1", b"2", b"3"):
        with new_file(path) as file:
            file.write(content)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cam-02.mkv", "cam-02_2.mkv", "cam-02_3.mkv"]
    assert path.read_bytes() == b"1"
    kept = Retention(tmp_path / "cam-%S.mkv", 600)
    kept.keep(time.time() + 1000)
    assert len(list(tmp_path.iterdir())) == 1, "those with a number are the archive's, too"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://a:b@host/x", "cannot send to ftp://\\*\\*\\*@host/x: give rtmp"),
        ("/nowhere/x.mkv", "/nowhere/x.mkv: make its folder first"),
        ("x.avi", "cannot write x.avi: give rtmp"),
        ("rec-%Y.mkv", "add %S"),
        ("mjpeg://127.0.0.1", "needs an address and a port"),
        ("rtmp://host", "names no application and stream key"),
        ("rtmp:///app/key", "names no server"),
        ("rtsp://host:99999/x", "no valid server and port"),
        ("rtmp://[::1/app/key", "no valid server and port"),
        ("udp://host", "names no port"),
        ("srt://host", "names no port"),
        ("hls://", "names no folder"),
        ("srt://host:9000?passphrase=hush", "would be visible in the process list"),
        ("srt://user:hush@host:9000", "would be visible in the process list"),
        ("srt://host:9000?streamid=publish:path:user:hush", "would be visible in the process list"),
        ("srt://host:9000?streamid=#!::m=publish,u=user,s=hush", "would be visible in the process list"),
        ("srt://host:9000?streamid=%23!::s=hush,r=path", "would be visible in the process list"),
    ],
)
def test_targets_that_cannot_be(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        target_of(text)
    sentence = str(raised.value)
    shown = redact_text(sentence)  # hides what looks like a query's value up to the next space
    assert shown.replace(":", "") == sentence.replace(":", ""), "its advice would be taken for an address"


def test_a_folder_for_hls_is_one_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = tmp_path / "there", tmp_path / "file"
    folder.mkdir()
    file.touch()
    with pytest.raises(ConfigError, match="file is no folder"):
        target_of(f"hls://{file}/cam")
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != folder)
    for name in ("there", "there/new/cam"):
        with pytest.raises(ConfigError, match=f"cannot write into {folder}: choose a folder that you may"):
            target_of(f"hls://{tmp_path}/{name}")


def test_a_file_without_a_picture_is_none(tmp_path: Path) -> None:
    sender = Sender(sound=False)
    output = sender.open(str(tmp_path / "out.mkv"))
    assert wait_for(lambda: output.status.state is State.RUNNING, 60)
    finish(output)
    assert output.failure == "no picture came"
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_finished_is_told(tmp_path: Path) -> None:
    sender = Sender(sound=False)
    path = tmp_path / "out.mkv"
    output = sender.open(str(path))
    sender.send(5, output)
    assert wait_for(lambda: output.newest is not None, 60)
    path.write_bytes(b"somebody else's")
    finish(output)
    assert "was created meanwhile" in output.failure
    assert sender.told[-1] == (State.ENDED, output.failure)
    assert path.read_bytes() == b"somebody else's"


def test_a_picture_by_udp_ends_where_it_does() -> None:
    """Its length stands in front: a receiver need not wait for the next one, 40 ms."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        sender = Sender(sound=False)
        output = sender.open(f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        sender.send(5, output)
        lengths: list[int] = []
        while len(lengths) < 5:
            data = receiver.recv(65536)
            starts = [found.end() for found in re.finditer(rb"\x00\x00\x01\xe0", data)]
            lengths += [int.from_bytes(data[start : start + 2], "big") for start in starts]
        finish(output)
    assert all(lengths), lengths


def test_an_empty_file_of_an_archive_is_removed(tmp_path: Path) -> None:
    for name, content in (("a-10.mkv", b""), ("a-11.mkv", b"x"), ("b-12.mkv", b"")):
        (tmp_path / name).write_bytes(content)
    remove_empty(tmp_path / "a-%S.mkv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-11.mkv", "b-12.mkv"]


@pytest.mark.slow
def test_an_output_that_opens_and_fails_each_time_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    sender = Sender(sound=False)
    output = sender.open(str(tmp_path / "out-%s-%S.mkv"))
    for count in range(1, 4):
        assert wait_for(lambda: output._child is not None and output._child.opened, 60)
        sender.send(2, output)
        child = output._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGKILL)
        assert wait_for(lambda count=count: output.counts.restarts == count, 60)  # type: ignore[misc]
        assert output.failure == "its process ended"
        assert wait_for(lambda child=child: output._child is not child, 60)  # type: ignore[misc]
    finish(output)
    assert [state for state, _ in sender.told] == [State.RUNNING, State.LOST, State.ENDED]


def test_a_stall_is_not_confused_with_a_busy_machine() -> None:
    assert outputs._wants_to_run(os.getpid())  # this process runs while it asks


def test_a_child_that_waits_for_a_core_is_given_more_time_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file would else stay a partial one."""
    monkeypatch.setattr(outputs, "CLOSE_SECONDS", 0.01)
    monkeypatch.setattr(outputs, "MOST_STARVED", 10_000)
    monkeypatch.setattr(outputs, "_wants_to_run", lambda _pid: True)
    sender = Sender(sound=False)
    output = sender.open(str(tmp_path / "out.mkv"))
    sender.send(10, output)
    assert wait_for(lambda: output._child is not None, 60)
    output.close()
    output.join(0.01)
    assert len(look_at(tmp_path / "out.mkv")) == 10


def _refuse(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """No process can be started so often."""
    left, real = [times], subprocess.Popen

    def popen(*args: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(*args, **more)

    monkeypatch.setattr(subprocess, "Popen", popen)


def test_a_child_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    _refuse(monkeypatch, 2)
    sender = Sender(sound=False)
    output = sender.open(str(tmp_path / "out-%s.mkv"))
    assert wait_for(lambda: output._child is not None, 60)
    sender.send(5, output)
    assert wait_for(lambda: output.newest is not None, 60)
    finish(output)
    assert [state for state, _ in sender.told] == [State.LOST, State.RUNNING, State.ENDED]
    assert "cannot be started" in sender.told[0][1]


def test_a_child_for_which_no_thread_can_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    with no_thread("output watch"):
        sender = Sender(sound=False)
        output = sender.open(str(tmp_path / "out-%s.mkv"))
        assert wait_for(lambda: bool(sender.told), 60)
    assert sender.told == [(State.LOST, "its process cannot be started (Resource temporarily unavailable)")]
    assert wait_for(lambda: output._child is not None, 60)
    sender.send(5, output)
    finish(output)
    assert sender.told[1:] == [(State.RUNNING, ""), (State.ENDED, "")]


def test_a_signal_to_all_processes_leaves_the_file_to_its_parent(tmp_path: Path) -> None:
    """systemd sends SIGTERM to all of a unit's, by default; the file was left without its end."""
    sender = Sender(sound=False)
    output = sender.open(str(tmp_path / "out.mkv"))
    sender.send(10, output)
    assert wait_for(lambda: output.newest is not None, 60)
    child = output._child
    assert child is not None
    os.kill(child._process.pid, signal.SIGTERM)
    sender.send(10, output)
    finish(output)
    assert len(look_at(tmp_path / "out.mkv")) == 20


def test_a_file_in_the_working_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])  # as of the installed command
    sender = Sender(sound=False)
    output = sender.open("out.mkv")
    sender.send(5, output)
    finish(output)
    assert len(look_at(tmp_path / "out.mkv")) == 5


def test_rtmp_is_connected_again_before_its_times_are_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg begins at 0 again after 24.8 days, which servers and players take for the past."""
    target = replace(target_of(str(tmp_path / "x.mkv")), muxer="flv", kind="network", options={})
    encoder = Sender(sound=False).encoder
    made = []
    for pts in (0, publish.FLV_SECONDS * 90_000 - 3600, publish.FLV_SECONDS * 90_000):
        raw = RawFrame(0, pts, TICK, next(iter(scene(1))).picture)
        made += encoder.video(unchecked_safe_frame(raw))
    hello = Hello("network", target.address, "flv", {}, encoder.header, encoder.setup)
    pipe = io.BytesIO(b"".join(one.to_bytes() for one in made))
    told: list[dict[str, Any]] = []
    with pytest.raises(SinkError, match="begin anew"):
        publish._publish(hello, pipe, lambda **what: told.append(what))
    assert told[-1] == {"done": 2}


def test_a_file_whose_child_cannot_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse(monkeypatch, 1)
    sender = Sender(sound=False)
    output = sender.open(str(tmp_path / "out.mkv"))
    assert wait_for(lambda: output.status.state is State.ENDED, 10)
    assert "cannot be started" in output.failure
