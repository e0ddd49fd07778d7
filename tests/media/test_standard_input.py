from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from streamanon.errors import SourceError
from streamanon.media.standard_input import SharedStream

DATA = bytes(range(256)) * 4000


@pytest.fixture
def pipe() -> Iterator[int]:
    """The reading end of a pipe through which DATA comes."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(DATA)

    thread = threading.Thread(target=write)
    thread.start()
    yield reading
    while os.read(reading, 1 << 16):
        pass
    thread.join()
    os.close(reading)


def test_every_reader_reads_it_from_the_start(pipe: int) -> None:
    stream = SharedStream(pipe)
    probe = stream.open()
    assert probe.read(1000) == DATA[:1000]
    probe.close()
    one, two = stream.open(), stream.open()
    read = [b"", b""]
    while len(read[1]) < len(DATA):
        read[0] += one.read(7000)
        read[1] += two.read(3000)
    assert read == [DATA, DATA]
    assert one.read(10) == b""


def test_readers_in_threads_wait_for_what_comes(pipe: int) -> None:
    stream = SharedStream(pipe)
    read = [bytearray(), bytearray()]

    def take(number: int) -> None:
        with stream.open() as reader:
            while piece := reader.read(5000):
                read[number] += piece

    threads = [threading.Thread(target=take, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read[0] == read[1] == DATA


def test_only_what_somebody_has_still_to_read_is_kept(pipe: int) -> None:
    stream = SharedStream(pipe, head_bytes=100_000)
    one, two = stream.open(), stream.open()
    while one.place < 600_000:
        one.read(1 << 16)
    assert stream.held >= 600_000
    while two.place < 600_000:
        two.read(1 << 16)
    assert stream.held <= 2 << 16
    with pytest.raises(SourceError, match="read once only"):
        stream.open()
    two.close()
    while one.read(1 << 16):
        pass
    assert stream.held <= 2 << 16
