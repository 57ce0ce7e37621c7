from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from parties import PRESS, Own, Rival, press

from jupyter_orchestra.errors import ResourceError
from jupyter_orchestra.resources.broker import Busy, Want


@pytest.mark.parametrize(("many", "times"), [(2, 100), (8, 20)])
def test_never_two_are_in_the_same_section(rival: Callable[..., Rival], tmp_path: Path, many: int, times: int) -> None:
    rivals = [rival() for _ in range(many)]
    for one in rivals:
        one.tell("storm", wants=PRESS, times=times, file=str(tmp_path / "section"))
    assert [one.hear() for one in rivals] == [0] * many
    tokens = [int(line) for line in (tmp_path / "section").read_text().split()]
    assert len(tokens) == many * times
    assert tokens == sorted(set(tokens))


def test_a_killed_holder_is_free_for_another(rival: Callable[..., Rival], own: Own) -> None:
    holder = rival()
    token = holder.ask("claim", wants=PRESS)
    busy = own.claim(press())
    assert isinstance(busy, Busy)
    assert busy.keys == ("press|/project",)
    assert "rival" in busy.by
    holder.signal(signal.SIGKILL)
    assert own.until_held(press()) > token


def test_one_that_waits_and_is_killed_holds_nobody_up(rival: Callable[..., Rival], own: Own) -> None:
    holder, waiter = rival(), rival()
    holder.ask("claim", wants=PRESS)
    assert "busy" in waiter.ask("try", wants=PRESS)
    assert isinstance(own.claim(press()), Busy)
    waiter.signal(signal.SIGKILL)
    holder.ask("release")
    own.until_held(press())


def test_a_stopped_holder_loses_its_token_before_another_has_it(rival: Callable[..., Rival], folder: Path) -> None:
    holder = rival(ttl=1.0)
    token = holder.ask("claim", wants=PRESS)
    own = Own(folder, ttl=1.0)
    try:
        holder.signal(signal.SIGSTOP)
        mine = own.until_held(press())
        holder.signal(signal.SIGCONT)
        assert holder.ask("valid", token=token) is False
        assert own.broker.valid("own", mine).result(10)
        own.broker.renew(["own"]).result(10)
        assert holder.ask("renew") is None
        assert holder.ask("lost")[0][0] == f"lease-{holder.process.pid}"
    finally:
        own.broker.close()


def test_the_processes_of_a_stopped_holder_are_dead_before_another_has_it(
    rival: Callable[..., Rival], folder: Path
) -> None:
    mark = f"JO_TEST_RIVAL={os.getpid()}-{time.monotonic_ns()}"
    name, _, value = mark.partition("=")
    holder = rival(ttl=1.0, **{name: value})
    holder.ask("claim", wants=PRESS, marks=[mark])
    own = Own(folder, ttl=1.0)
    try:
        holder.signal(signal.SIGSTOP)
        own.until_held(press())
        assert holder.process.wait(5) == -signal.SIGKILL
    finally:
        own.broker.close()


def test_a_renewed_lease_lasts(own: Own, folder: Path) -> None:
    short = Own(folder, ttl=3.0)
    try:
        assert not isinstance(short.claim(press(), id="short"), Busy)
        for _ in range(5):
            time.sleep(0.8)
            short.broker.renew(["short"]).result(10)
            assert isinstance(own.claim(press()), Busy)
    finally:
        short.broker.close()


def test_all_is_claimed_or_nothing(rival: Callable[..., Rival], own: Own) -> None:
    holder = rival()
    holder.ask("claim", wants=PRESS)
    assert isinstance(own.claim(press(), Want("port/3000")), Busy)
    other = rival()
    own.broker.release("own").result(10)
    assert isinstance(other.ask("try", wants=[["port/3000", 1, 1]]), int)


def test_nobody_overtakes_from_another_process(rival: Callable[..., Rival], own: Own) -> None:
    holder, late = rival(), rival()
    holder.ask("claim", wants=[["pool|/project", 2, 3]])
    assert isinstance(own.claim(Want("pool|/project", 3, 3)), Busy)
    assert "busy" in late.ask("try", wants=[["pool|/project", 1, 3]])
    assert isinstance(late.ask("try", id="other", wants=[["elsewhere|/project", 1, 1]]), int)


def test_paths_conflict_by_their_parts(rival: Callable[..., Rival], own: Own) -> None:
    holder = rival()
    holder.ask("claim", wants=[["path|/p/src", 1, 1, "w"]])
    for path, mode in (("/p/src/a", "r"), ("/p", "r"), ("/p/src", "w")):
        assert isinstance(own.claim(Want(f"path|{path}", mode=mode), id=path + mode), Busy)
        own.broker.release(path + mode).result(10)
    assert not isinstance(own.claim(Want("path|/p/srcs", mode="w"), id="beside"), Busy)


@pytest.mark.parametrize("damage", ["deleted", "garbage", "truncated"])
def test_nothing_is_held_by_two_when_the_file_is_damaged(
    rival: Callable[..., Rival], own: Own, folder: Path, damage: str
) -> None:
    holder = rival()
    token = holder.ask("claim", wants=PRESS)
    (file,) = folder.glob("*.db")
    match damage:
        case "deleted":
            file.unlink()
        case "garbage":
            file.write_bytes(os.urandom(20_000))
        case _:
            os.truncate(file, 1000)
    holder.ask("renew")
    assert isinstance(own.claim(press()), Busy)
    assert holder.ask("valid", token=token) is True
    holder.ask("release")
    assert own.until_held(press()) != 0


def test_a_folder_that_is_not_ours_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    own = Own(tmp_path / "link")
    try:
        with pytest.raises(ResourceError, match="not a folder of yours") as caught:
            own.claim(press())
        assert "\n" not in str(caught.value)
    finally:
        own.broker.close()


def test_a_closed_broker_leaves_neither_claims_nor_threads(own: Own, folder: Path) -> None:
    gone = Own(folder)
    assert not isinstance(gone.claim(press(), id="gone"), Busy)
    thread = gone.broker._thread
    gone.broker.close()
    assert not thread.is_alive()
    assert not isinstance(own.claim(press()), Busy)
