import asyncio
from pathlib import Path
from typing import Literal

import pytest
from agent_doubles import Scene

from jupyter_orchestra.models.client import EndpointClient
from jupyter_orchestra.models.endpoint import Endpoint
from jupyter_orchestra.models.values import Model
from jupyter_orchestra.testing.model_server import ModelServer, Step, ToolCall


class Only:
    """The one model of an endpoint."""

    def __init__(self, client: EndpointClient) -> None:
        self._client = client

    async def model(self, tier: str, name: str = "") -> tuple[Model, str]:
        return self._client, name or tier


@pytest.mark.parametrize("wire", ["responses", "chat"])
def test_an_agent_works_over_http(tmp_path: Path, wire: Literal["responses", "chat"]) -> None:
    scene = Scene(tmp_path, "worker")
    (scene.project / "a.py").write_text("x = 1\n")
    script = [
        Step(say="I look at it.", call=[ToolCall("read_file", {"path": "a.py"}), ToolCall("list_files", '{"path')]),
        Step(call=[ToolCall("run_command", {"command": "cat a.py"})], output_of="list_files"),
        Step(
            call=[ToolCall("final_result", {"headline": "x is 1", "summary": "Seen.", "data": None})],
            output_of="run_command",
        ),
    ]
    with ModelServer(script, speaks=(wire,)) as server:
        client = EndpointClient(Endpoint(server.url, wire=wire))

        async def work() -> object:
            try:
                return await scene.run(Only(client))
            finally:
                await client.close()

        outcome = asyncio.run(work())
    assert outcome.result.text == "x is 1"  # type: ignore[attr-defined]
    first, _, last = server.requests
    assert first.last_user == "Look around."
    assert {"read_file", "run_python", "final_result"} <= set(first.tools)
    assert [str(result)[:20] for result in last.results] == ["x = 1", "the arguments of lis", "x = 1\n\n[exit code 0]"]
