import asyncio
import threading
import time

import pytest

from jupyter_orchestra.testing import Deadlock, SeededLoop, run


def test_time_costs_nothing() -> None:
    async def main() -> float:
        await asyncio.sleep(1_000_000)
        return asyncio.get_running_loop().time()

    begun = time.monotonic()
    assert run(main()) == 1_000_000
    assert time.monotonic() - begun < 5


def test_timers_come_in_their_order_whatever_the_seed() -> None:
    async def main() -> list[int]:
        seen: list[int] = []

        async def later(n: int) -> None:
            await asyncio.sleep(n)
            seen.append(n)

        await asyncio.gather(*(later(n) for n in (3, 1, 2)))
        return seen

    for seed in range(20):
        assert run(main(), seed) == [1, 2, 3]


async def order_of_twenty() -> tuple[int, ...]:
    seen: list[int] = []

    async def step(n: int) -> None:
        await asyncio.sleep(0)
        seen.append(n)

    async with asyncio.TaskGroup() as group:
        for n in range(20):
            group.create_task(step(n))
    return tuple(seen)


def test_the_same_seed_gives_the_same_order_and_others_give_others() -> None:
    orders = [run(order_of_twenty(), seed) for seed in range(10)]
    assert orders == [run(order_of_twenty(), seed) for seed in range(10)]
    assert len(set(orders)) == 10


def test_callbacks_of_the_loop_keep_their_order() -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        for n in range(50):
            asyncio.get_running_loop().call_soon(seen.append, n)
        await asyncio.sleep(1)
        return seen

    for seed in range(5):
        assert run(main(), seed) == list(range(50))


def test_a_deadlock_is_an_error_that_says_who_waits() -> None:
    async def main() -> None:
        first, second = asyncio.Lock(), asyncio.Lock()

        async def take(one: asyncio.Lock, other: asyncio.Lock) -> None:
            async with one:
                await asyncio.sleep(1)
                async with other:
                    pass

        async with asyncio.TaskGroup() as group:
            group.create_task(take(first, second), name="anna")
            group.create_task(take(second, first), name="bert")

    with pytest.raises(Deadlock, match=r"(?s)at 1 s.*anna at .*test_seeded_loop.*bert at"):
        run(main())


def test_a_cancelled_timer_does_not_hide_a_deadlock() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(100, print).cancel()
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="at 0 s"):
        run(main())


def test_a_timeout_is_not_a_deadlock() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main(), start=100.0) == 160.0


def test_what_still_runs_at_the_end_is_cancelled() -> None:
    ended = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        main.task = asyncio.create_task(hang())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(main())
    assert ended == [True]


def test_an_error_of_the_main_coroutine_comes_through() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main())


def test_a_thread_may_wake_the_loop() -> None:
    async def main() -> str:
        loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "word"))
        loop.call_later(1_000_000, thread.start)
        return str(await future)

    assert run(main(), allow_threads=True) == "word"


def test_time_stands_still_while_an_executor_works() -> None:
    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(1):
            gate = threading.Event()
            threading.Timer(0.1, gate.set).start()
            await asyncio.to_thread(gate.wait)
        return "ready", loop.time()

    assert run(main(), allow_threads=True) == ("ready", 0.0)


def test_a_deadlock_with_threads_is_found_after_some_patience() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main(), allow_threads=True, patience=0.05)


def test_files_and_sockets_work() -> None:
    async def main() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return line

    for seed in range(5):
        assert run(main(), seed, allow_threads=True) == b"hello\n"


def test_a_loop_of_ones_own() -> None:
    loop = SeededLoop(7, start=5.0)
    try:
        assert loop.run_until_complete(asyncio.sleep(2, "x")) == "x"
        assert loop.time() == 7.0
    finally:
        loop.close()
