"""Leases whose holder outlives its kernel, or does not."""

from __future__ import annotations

from mortals import Project, is_gone, running, waiting

from jupyter_orchestra.testing.model_server import ModelServer, SeenRequest, Step, ToolCall

FINAL = {"headline": "Tested.", "summary": "Once.", "findings": [], "data": "{}", "artifacts": []}


def test_a_task_holds_on_without_its_kernel_and_what_it_held_is_free_when_it_ends(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("script", "shell", "--needs press"))
    a.run(waiting("code", "kernel", "--needs lathe"))
    project.wait_for("script", "code")
    b.run(waiting("next-script", "shell", "--needs press"))
    b.run(waiting("next-code", "kernel", "--needs lathe"))
    a.until_true("all('running' == str(jo.task(name).state) for name in ('script', 'code'))")
    held = project.leases()
    a.ask("int(jo.dispatch('true', worker='shell').get())")  # an end is told once all before it is durable
    a.kill()
    project.wait_for_orphans(*held)
    assert [b.state(name) for name in ("next-script", "next-code")] == ["queued", "queued"]
    assert "waits for press, held by script of a.ipynb" in b.run("%orchestra explain next-script").text
    assert "waits for lathe, held by code of a.ipynb" in b.run("%orchestra explain next-code").text
    project.touch("go-script", "go-code")
    project.wait_for("next-script", "next-code")
    for name in ("script", "code"):
        assert float(project.text(f"ended-{name}")) <= float(project.text(f"began-next-{name}"))

    back = project.open("a")  # its tasks ended in time, though others have what they held
    assert [back.end(name) for name in ("script", "code")] == ["done", "done"]
    assert back.ask("[jo.task(name).stdout for name in ('script', 'code')]") == ["came script\n", "came code\n"]
    project.touch("go-next-script", "go-next-code")
    assert [b.end(name) for name in ("next-script", "next-code")] == ["done", "done"]
    back.shut_down()
    b.shut_down()


def test_the_next_kernel_holds_what_its_tasks_held_by_the_same_token(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("script", "shell", "--needs press"))
    a.run(waiting("code", "kernel", "--needs lathe"))
    project.wait_for("script", "code")
    b.run(waiting("next-script", "shell", "--needs press"))
    b.run(waiting("next-code", "kernel", "--needs lathe"))
    held = project.leases()
    assert len(held) == 2
    a.ask("int(jo.dispatch('true', worker='shell').get())")
    a.kill()

    back = project.open("a")
    back.until_true("all(str(jo.task(name).state) == 'running' for name in ('script', 'code'))")
    project.wait_until_held_by(back)
    assert project.leases() == held
    assert [b.state(name) for name in ("next-script", "next-code")] == ["queued", "queued"]
    assert "press: 1 of 1 in use" in back.run("%orchestra leases").text
    back.run("%cancel script code")
    project.wait_for("next-script", "next-code")
    assert [back.end(name) for name in ("script", "code")] == ["cancelled", "cancelled"]
    assert not any(project.has(f"ended-{name}") for name in ("script", "code"))
    project.touch("go-next-script", "go-next-code")
    assert [b.end(name) for name in ("next-script", "next-code")] == ["done", "done"]
    back.shut_down()
    b.shut_down()


def test_what_does_not_outlive_its_kernel_holds_nothing_without_it(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run("own = jo.controller.lease('press').__enter__()")
    a.run("%%dispatch looping -w loop --needs lathe\nimport asyncio\nawait asyncio.sleep(600)")
    a.until_state("looping", "running")
    b.run(waiting("next-press", "shell", "--needs press"))
    b.run(waiting("next-lathe", "shell", "--needs lathe"))
    b.until(lambda: "held by your own code of a.ipynb" in b.run("%orchestra explain next-press").text)
    b.until(lambda: "held by looping of a.ipynb" in b.run("%orchestra explain next-lathe").text)
    a.kill()
    project.wait_for("next-press", "next-lathe")
    project.touch("go-next-press", "go-next-lathe")
    back = project.open("a")
    assert back.state("looping") == "lost"
    assert [b.end(name) for name in ("next-press", "next-lathe")] == ["done", "done"]
    back.shut_down()
    b.shut_down()


def test_a_task_whose_process_is_not_there_yet_holds_nothing_without_its_kernel(project: Project) -> None:
    a, b = project.open("a"), project.open("b")
    a.run(waiting("page", "shell", "--needs server:web,press"))
    a.until(lambda: "approve or decline" in a.run("%orchestra explain page").text)  # before it begins
    b.run(waiting("next-one", "shell", "--needs press"))
    b.until(lambda: "held by page of a.ipynb" in b.run("%orchestra explain next-one").text)
    a.kill()
    project.wait_for("next-one")
    project.touch("go-next-one")
    assert b.end("next-one") == "done"
    b.shut_down()
    back = project.open("a")
    assert back.end("page") == "lost"
    assert not project.has("began-page")
    back.shut_down()


def test_a_task_with_a_server_ends_with_its_kernel_and_so_does_the_server(project: Project) -> None:
    a = project.open("a")
    a.run(waiting("page", "shell", "--needs server:web,press"))
    a.until(lambda: "approve or decline" in a.run("%orchestra explain page").text)
    a.run("%approve page")
    project.wait_for("page")
    a.ask("int(jo.dispatch('true', worker='shell').get())")
    servers = running(a, "http.server")
    assert servers
    b = project.open("b")
    b.run(waiting("next-one", "shell", "--needs press"))
    a.kill()
    project.wait_for("next-one")
    assert all(map(is_gone, servers))
    assert is_gone(int(project.text("page")))
    back = project.open("a")
    assert back.end("page") == "lost"
    project.touch("go-next-one")
    assert b.end("next-one") == "done"
    back.shut_down()
    b.shut_down()


class Tester:
    """An agent's model: runs the tests, then gives its result."""

    def __call__(self, seen: SeenRequest) -> Step:
        if not any("function_call_output" in str(item) for item in seen.items):
            return Step(call=[ToolCall("run_command", {"command": "python -m pytest -q test_long.py", "seconds": 600})])
        return Step(call=[ToolCall("final_result", FINAL)])


def test_what_an_agent_took_by_itself_is_free_without_its_kernel(project: Project) -> None:
    (project.folder / "test_long.py").write_text(
        "import pathlib, time\ndef test_it():\n    pathlib.Path('in-test').touch()\n    time.sleep(600)\n"
    )
    with ModelServer(Tester()) as server:
        a = project.open("a", OPENAI_BASE_URL=server.url)
        a.run("%%dispatch tests -w agent -r worker\nRun the tests.")
        a.until(lambda: "test-runner: 1 of 1 in use" in a.run("%orchestra leases").text)
        b = project.open("b")
        b.run(waiting("next-one", "shell", "--needs test-runner"))
        b.until(lambda: "held by tests of a.ipynb" in b.run("%orchestra explain next-one").text)
        a.kill()
        project.wait_for("next-one")
        assert not running(a, "test_long.py")
        project.touch("go-next-one")
        assert b.end("next-one") == "done"
        b.shut_down()
        back = project.open("a", OPENAI_BASE_URL=server.url)
        back.run("%cancel tests")
        back.shut_down()
