"""What runs inside the kernels of the peers: the same work, said in their own words."""

from __future__ import annotations

import asyncio
import functools
import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

cluster: Any = None
client: Any = None
view: Any = None
held: dict[str, Any] = {}  # semaphores of dask's


def two() -> int:
    """The task with a value."""
    return 1 + 1


def nothing() -> None:
    """The empty task."""


def start(engines: int) -> float:
    """Start an ipyparallel cluster on the loopback; the seconds until its engines answer."""
    global cluster, client, view
    ipyparallel = importlib.import_module("ipyparallel")
    began = time.perf_counter()
    cluster = ipyparallel.Cluster(n=engines, controller_ip="127.0.0.1", log_level=30)
    client = cluster.start_and_connect_sync(activate=False)
    client[:].apply_sync(two)
    seconds = time.perf_counter() - began
    view = client.load_balanced_view()
    view.apply_sync(two)
    return seconds


def stop() -> None:
    """End the cluster."""
    client.close()
    cluster.stop_cluster_sync()


def singles(n: int, direct: bool = False) -> list[float]:
    """One task after the other: from the call to its value."""
    target, found = client[0] if direct else view, []
    for _ in range(n):
        began = time.perf_counter()
        value = target.apply_sync(two)
        found.append(time.perf_counter() - began)
        assert value == 2
    return found


def batch(n: int) -> float:
    """Many empty tasks at once, until the last value is there."""
    began = time.perf_counter()
    values = [result.get() for result in [view.apply_async(nothing) for _ in range(n)]]
    seconds = time.perf_counter() - began
    assert values == [None] * n
    return seconds


def chain(n: int) -> float:
    """Tasks that come each after the one before, until the last value is there."""
    began = time.perf_counter()
    last = view.apply_async(nothing)
    for _ in range(n - 1):
        with view.temp_flags(after=last):
            last = view.apply_async(nothing)
    last.get()
    return time.perf_counter() - began


def agents(names: list[str], in_a_row: bool) -> float:
    """Run an agent of openai-agents for each name, until the last has answered."""
    sdk = importlib.import_module("agents")
    sdk.set_tracing_disabled(True)

    async def run() -> list[Any]:
        asked = [sdk.Runner.run(sdk.Agent(name, model="scripted"), name) for name in names]
        return [await one for one in asked] if in_a_row else await asyncio.gather(*asked)

    began = time.perf_counter()
    with ThreadPoolExecutor(1) as thread:  # the kernel's own thread has a loop that runs
        found = thread.submit(_loop().run_until_complete, run()).result()
    seconds = time.perf_counter() - began
    assert all(result.final_output for result in found)
    return seconds


def spend(n: int, at_once: int, brief: str, limit: int) -> int:
    """Run agents of openai-agents that look before each request whether the limit is reached; how many it stopped."""
    sdk = importlib.import_module("agents")
    sdk.set_tracing_disabled(True)
    hooks: Any = sdk.RunHooks
    spent = 0

    class Watch(hooks):  # type: ignore[misc]
        async def on_llm_start(self, *told: Any) -> None:
            if spent >= limit:
                raise RuntimeError("the limit is reached")

        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            nonlocal spent
            spent += response.usage.total_tokens

    def look_around() -> str:
        return "data notebook.ipynb"

    async def one(number: int, slots: asyncio.Semaphore) -> None:
        agent = sdk.Agent(f"agent-{number}", model="scripted", tools=[sdk.function_tool(look_around)])
        async with slots:
            await sdk.Runner.run(agent, brief, hooks=Watch(), max_turns=100)

    async def run() -> int:
        slots = asyncio.Semaphore(at_once)
        found = await asyncio.gather(*(one(number, slots) for number in range(n)), return_exceptions=True)
        return sum(isinstance(outcome, RuntimeError) for outcome in found)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_loop().run_until_complete, run()).result()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """One for all calls: the library keeps its connections."""
    return asyncio.new_event_loop()


def dask(address: str = "", alone: bool = False) -> str:
    """Connect to a dask scheduler, or start one in this process, for it alone if so said; where it is."""
    global cluster, client
    distributed, settings = importlib.import_module("distributed"), importlib.import_module("dask").config
    locks = "distributed.scheduler.locks.lease-"
    settings.set({f"{locks}timeout": "15s", f"{locks}validation-interval": "1s"})  # ours last as long
    if not address:
        host = None if alone else "127.0.0.1"
        cluster = distributed.LocalCluster(n_workers=0, processes=not alone, host=host, dashboard_address=None)
        address = cluster.scheduler_address
    client = distributed.Client(address)
    return address


def semaphores(n: int) -> list[float]:
    """Acquire and release dask's Semaphore, which nobody else wants; seconds."""
    one, found = _semaphore("alone"), []
    for _ in range(n):
        began = time.perf_counter()
        one.acquire()
        one.release()
        found.append(time.perf_counter() - began)
    return found


def acquire(name: str) -> float:
    """Hold it from now on; the moment, by time.monotonic."""
    held[name] = _semaphore(name)
    held[name].acquire()
    return time.monotonic()


def holders(name: str, seconds: float) -> int:
    """How many hold it, the most within so many seconds; one is allowed."""
    end, most = time.monotonic() + seconds, 0
    while most < 2 and time.monotonic() < end:
        most = max(most, held[name].get_value())
        time.sleep(0.1)
    return most


def end_dask() -> None:
    """Leave it, and end what was started."""
    client.close()
    if cluster is not None:
        cluster.close()


def _semaphore(name: str) -> Any:
    return importlib.import_module("distributed").Semaphore(max_leases=1, name=name)
