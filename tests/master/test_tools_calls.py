import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_orchestra.core.model import Delivery, When
from jupyter_orchestra.master import tools
from jupyter_orchestra.master.tools import TOOLS, Dispatch, DispatchTask, read_call
from jupyter_orchestra.models.calls import BadCall
from jupyter_orchestra.models.values import Call

TASK = {"name": "a", "worker": "kernel", "brief": "1"}


def read(name: str, arguments: Any) -> Any:
    return read_call(Call("c", name, arguments if isinstance(arguments, str) else json.dumps(arguments)))


def refusal(name: str, arguments: Any) -> str:
    with pytest.raises(BadCall) as caught:
        read(name, arguments)
    return str(caught.value)


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and all schemas within it."""
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from parts(inner)
    if "items" in schema:
        yield from parts(schema["items"])


def test_there_are_the_tools_of_the_design_and_no_tool_to_wait_or_list() -> None:
    assert [tool.name for tool in TOOLS] == [
        "dispatch", "steer", "pause", "resume", "cancel", "read_result", "read_cell", "inspect_variable",
    ]  # fmt: skip
    assert all(tool.description for tool in TOOLS)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_each_schema_is_strict(tool: tools.ToolSpec) -> None:
    assert tool.parameters["type"] == "object"
    for part in parts(tool.parameters):
        assert not part.keys() & {"$ref", "anyOf", "default", "title", "$defs", "const", "allOf"}
        assert "type" in part
        if part["type"] == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
        if "array" in part["type"]:
            assert "items" in part
        if "enum" in part:
            assert "" not in part["enum"]
            assert (None in part["enum"]) == ("null" in part["type"])


def test_what_need_not_be_said_may_be_null_and_what_must_be_may_not() -> None:
    properties = TOOLS[0].parameters["properties"]["tasks"]["items"]["properties"]
    needed = {name for name, part in properties.items() if "null" not in part["type"]}
    assert needed == {"name", "worker", "brief"}


def test_nulls_and_missing_fields_mean_the_same() -> None:
    properties = TOOLS[0].parameters["properties"]["tasks"]["items"]["properties"]
    found = read("dispatch", {"tasks": [{**dict.fromkeys(properties), **TASK}]})
    assert found == read("dispatch", {"tasks": [TASK]}) == Dispatch(tasks=[DispatchTask(**TASK)])
    assert (found.tasks[0].when, found.tasks[0].deliver) == (When.SUCCESS, Delivery.IDLE)


def test_a_whole_task_is_read() -> None:
    said = {**TASK, "after": ["x"], "when": "always", "deliver": "now", "timeout": 2.5, "returns": ["y"]}
    (task,) = read("dispatch", {"tasks": [said]}).tasks
    assert (task.after, task.when, task.deliver, task.timeout, task.returns) == (["x"], "always", "now", 2.5, ["y"])


def test_a_call_without_arguments_is_one_with_none() -> None:
    assert read("pause", "") == tools.Pause()
    assert read("cancel", {"all": True}) == tools.Cancel(all=True)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("launch", "{}", "there is no tool 'launch'; there are: dispatch, steer, pause,"),
        ("steer", '{"task": "a", ', "the arguments of steer are no JSON: Expecting property name"),
        ("steer", '{"task": "a", ', "at character 15"),
        ("steer", '["a"]', "must be a JSON object, not list"),
        ("steer", '{"task": "a"}', "steer: Object missing required field `text`"),
        ("steer", '{"task": 1, "text": "x"}', "steer: task: Expected `str`, got `int`"),
        ("dispatch", {"tasks": [{"name": "a", "worker": "kernel"}]}, "tasks[0]: Object missing required field `brief`"),
        (
            "dispatch",
            {"tasks": [TASK, {**TASK, "worker": "gpu"}]},
            "tasks[1].worker: Invalid enum value 'gpu'; it is one",
        ),
        ("dispatch", {"tasks": [{**TASK, "when": "never"}]}, "it is one of always, failure, success"),
        ("dispatch", {"tasks": [{**TASK, "needs": ["x"]}]}, "contains unknown field `needs`; there are: name, worker,"),
        ("dispatch", {"tasks": []}, "dispatch: tasks: Expected `array` of length >= 1"),
        ("dispatch", {}, "missing required field `tasks`"),
        ("dispatch", {"tasks": [{**TASK, "timeout": -1}]}, "timeout"),
        ("read_result", {"task": "a", "length": 10**6}, "length: Expected `int` <= 20000"),
        ("steer", "[" * 100_000, "too deep"),
        ("steer", '{"task": ' + "1" * 5000 + "}", "a number too long"),
        ("steer", " " * 500_000, "at most 400,000 are read"),
    ],
)
def test_a_bad_call_is_told_what_is_wrong(name: str, arguments: Any, said: str) -> None:
    assert said in refusal(name, arguments)


@given(st.sampled_from([*tools.TYPES, "other"]), st.one_of(st.text(), st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from(["tasks", "task", "name", "x"]), inner)),
).map(json.dumps)))  # fmt: skip
def test_any_call_is_read_or_refused_in_few_words(name: str, arguments: str) -> None:
    try:
        said = type(read(name, arguments)).__name__
    except BadCall as error:
        said = str(error)
    assert 0 < len(said) < 1000
