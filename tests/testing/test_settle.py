import asyncio
import threading

import pytest

from jupyter_orchestra.testing import run, settle, settle_sync


def test_it_gives_what_the_condition_gave() -> None:
    async def main() -> tuple[str, float]:
        box: list[str] = []
        asyncio.get_running_loop().call_later(3.0, box.append, "word")
        found = await settle(lambda: box and box[0])
        return str(found), asyncio.get_running_loop().time()

    found, now = run(main())
    assert found == "word"
    assert 3.0 <= now < 3.1


def test_what_holds_already_costs_no_time() -> None:
    async def main() -> float:
        await settle(lambda: True)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


def test_it_gives_up_in_the_loops_own_time_and_says_what_it_waited_for() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError, match="not within 60 s: the moon"):
            await settle(lambda: False, 60.0, "the moon")
        return asyncio.get_running_loop().time()

    assert 60.0 <= run(main()) < 60.1


def test_it_works_on_an_ordinary_loop() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(0.01))
        await settle(task.done)

    asyncio.run(main())


def test_an_error_of_the_condition_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        settle_sync(lambda: 1 / 0)


def test_a_thread_waits_for_another() -> None:
    gate = threading.Event()
    threading.Timer(0.02, gate.set).start()
    assert settle_sync(gate.is_set)


def test_a_thread_gives_up() -> None:
    def never() -> bool:
        return False

    with pytest.raises(TimeoutError, match=r"not within 0\.02 s: .*never"):
        settle_sync(never, 0.02)
