"""The store of TensorRT's plans, without TensorRT: a plan is any bytes that begin with "plan"."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamanon.runtime.backends.plan_cache import (
    cache_folder,
    keep_recent,
    mark_used,
    open_plan,
    store_plan,
)

GOOD = b"plan of a network"


class Builder:
    def __init__(self, plan: bytes = GOOD) -> None:
        self.plan, self.built = plan, 0

    def __call__(self) -> bytes:
        self.built += 1
        return self.plan


def load(plan: bytes) -> str | None:
    """As the runtime does: None for what it cannot read."""
    return plan.decode() if plan == GOOD else None


def test_a_plan_is_built_once(tmp_path: Path) -> None:
    build, path = Builder(), tmp_path / "new" / "mesh.plan"
    assert [open_plan(path, build, load) for _ in range(2)] == [GOOD.decode()] * 2
    assert build.built == 1
    assert [one.name for one in path.parent.iterdir()] == ["mesh.plan"]


@pytest.mark.parametrize("torn", [b"", GOOD[:7]])
def test_a_torn_plan_is_built_again(torn: bytes, tmp_path: Path) -> None:
    build, path = Builder(), tmp_path / "mesh.plan"
    path.write_bytes(torn)
    assert open_plan(path, build, load) == GOOD.decode()
    assert (build.built, path.read_bytes()) == (1, GOOD)


def test_a_plan_that_is_refused_though_new_is_none(tmp_path: Path) -> None:
    assert open_plan(tmp_path / "mesh.plan", Builder(b"of another version"), load) is None


def test_a_kill_while_writing_leaves_the_old_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mesh.plan"
    path.write_bytes(GOOD)

    def killed(_number: int) -> None:
        assert path.read_bytes() == GOOD, "written in place"
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        store_plan(path, b"plan of another")
    assert path.read_bytes() == GOOD


def test_without_a_place_to_keep_it_a_plan_is_still_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    build = Builder()
    assert open_plan(tmp_path / "file" / "mesh.plan", build, load) == GOOD.decode()
    assert build.built == 1
    assert not store_plan(tmp_path / "file" / "mesh.plan", GOOD)


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "streamanon"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "streamanon"


def test_the_plans_used_last_are_kept(tmp_path: Path) -> None:
    for number, name in enumerate(("old.plan", "used.plan", "new.plan", "engine.other")):
        store_plan(tmp_path / name, bytes(100))
        os.utime(tmp_path / name, (number, number))
    mark_used(tmp_path / "used.plan")
    keep_recent(tmp_path, ".plan", 100)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["engine.other", "used.plan"]
    keep_recent(tmp_path / "none", ".plan", 0)
    mark_used(tmp_path / "none")


def test_storing_that_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store_plan(tmp_path / "a.plan", b"plan")
    assert not list(tmp_path.iterdir())
