import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_doubles import Scene, ScriptedModel, call, end, say, use

from jupyter_orchestra.core.ports import Verdict
from jupyter_orchestra.workers.agent_files import Told, Tree
from jupyter_orchestra.workers.agent_workspace import Copy, Stopped, TooLarge

ROLES = ("explorer", "default", "worker")
SECRET = "the secret of somebody else"


@pytest.fixture(params=ROLES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    scene = Scene(tmp_path, request.param)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(SECRET)
    (scene.project / "a.py").write_text("x = 1\n")
    (scene.project / "src").mkdir()
    (scene.project / "src" / "b.py").write_text("y = 2\n")
    (scene.project / "link.txt").symlink_to("../outside/secret.txt")
    (scene.project / "folder").symlink_to("../outside")
    (scene.project / "self").symlink_to(".")
    (scene.project / "absolute").symlink_to(tmp_path / "outside")
    os.mkfifo(scene.project / "pipe")
    return scene


def ways_out(scene: Scene) -> list[str]:
    secret = os.fspath(scene.folder / "outside" / "secret.txt")
    return [
        "../outside/secret.txt", "src/../../outside/secret.txt", "./../outside/secret.txt", secret, f"//{secret}",
        "link.txt", "folder/secret.txt", "absolute/secret.txt", "self/../../outside/secret.txt",
        "self/folder/secret.txt", "..", "../", "/etc/passwd", "/proc/self/environ", "/dev/zero", "~/x", "@scratch/../x",
        "@scratch/../../outside/secret.txt", "a\0b", "\udcff/x", "x" * 5000,
    ]  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """All files of a folder, and where its links lead."""
    return {
        os.fspath(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_no_role_reads_outside(scene: Scene) -> None:
    calls = [call("read_file", path=path) for path in ways_out(scene)]
    calls += [call("list_files", path=path) for path in ways_out(scene)]
    calls += [call("search", pattern="secret", path=path) for path in ways_out(scene)]
    model = ScriptedModel(*(say("", *calls[at : at + 16]) for at in range(0, len(calls), 16)), end())
    scene.finish(model)
    assert len(model.outputs()) == 63
    for made, said in zip(calls, model.outputs(), strict=True):
        assert SECRET not in said, made
        assert "root:" not in said, made
        assert "secret.txt  " not in said, made


def test_a_key_of_the_notebook_is_not_read_in_the_project_either(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-canary-0123456789")
    (scene.project / "settings.txt").write_text("SOME_API_KEY=sk-canary-0123456789\n")
    model = ScriptedModel(say("", call("read_file", path="settings.txt"), call("search", pattern="KEY")), end())
    scene.finish(model)
    read, found = model.outputs()[:2]
    assert read == "SOME_API_KEY=…"
    assert found.startswith("settings.txt:1:")
    assert "canary" not in found


def test_what_holds_keys_by_its_name_is_kept_from_every_role(scene: Scene) -> None:
    for name in (".env", ".env.local", ".ssh/id_ed25519", ".aws/credentials", "deploy/id_rsa"):
        (scene.project / name).parent.mkdir(exist_ok=True)
        (scene.project / name).write_text("KEY=canary\n")
    names = (
        ".env",
        ".env.local",
        ".ssh/id_ed25519",
        "./.aws/credentials",
        "deploy/../.ssh/id_ed25519",
        "deploy/id_rsa",
    )
    model = ScriptedModel(
        say("", *(call("read_file", path=name) for name in names), call("search", pattern="KEY")), end()
    )
    scene.finish(model)
    assert all("is kept from agents" in said for said in model.outputs()[: len(names)])
    assert "canary" not in str(model.outputs())


def test_no_role_writes_outside(scene: Scene) -> None:
    outside = snapshot(scene.folder / "outside")
    project = snapshot(scene.project)
    calls = [call("write_file", path=path, text="owned") for path in ways_out(scene)]
    model = ScriptedModel(say("", *calls[:16]), say("", *calls[16:]), end())
    scene.finish(model)
    if scene.role == "explorer":  # the others have a workspace, where a path that leads through no link is theirs
        assert not any(said.startswith("written") for said in model.outputs())
    assert snapshot(scene.folder / "outside") == outside
    assert snapshot(scene.project) == project


def test_no_role_gives_a_file_from_outside_as_its_artifact(scene: Scene) -> None:
    calls = [
        call("final_result", headline="x", summary="", artifacts=[path])
        for path in [*ways_out(scene), "pipe", "src", "link.txt"]
    ]
    result = scene.finish(ScriptedModel(*(say("", made) for made in calls), end("honest")))
    assert (result.text, result.artifacts) == ("honest", ())


def test_no_role_changes_the_project(scene: Scene) -> None:
    before = snapshot(scene.project)
    scene.finish(
        ScriptedModel(
            use("write_file", path="a.py", text="x = 2\n"), use("write_file", path="new/c.py", text=""), end()
        )
    )
    assert snapshot(scene.project) == before


def test_what_is_no_file_is_not_opened(scene: Scene) -> None:
    said = scene.answers(
        call("read_file", path="pipe"), call("read_file", path="src"), call("write_file", path="src", text="")
    )
    assert said[0].startswith("pipe is no regular file" if scene.role == "explorer" else "there is no pipe")
    assert said[1] == "src is a folder: list_files shows what is in it"
    assert not said[2].startswith("written")


def test_every_role_reads_lists_and_searches(scene: Scene) -> None:
    said = scene.answers(
        call("read_file", path="src/../a.py"),
        call("read_file", path="./src/b.py", start=1, lines=1),
        call("list_files"),
        call("search", pattern=r"[xy] = \d", glob="*.py"),
        call("search", pattern="Y =", ignore_case=True, path="src"),
        call("search", pattern="nowhere"),
        call("search", pattern="("),
    )
    assert said[:2] == ["x = 1", "y = 2"]
    assert [line for line in said[2].splitlines() if ".py" in line] == ["a.py  6 bytes", "src/b.py  6 bytes"]
    assert [line.replace(": ", ":") for line in said[3].splitlines()] == ["a.py:1:x = 1", "src/b.py:1:y = 2"]
    assert said[4].replace(": ", ":") == "b.py:1:y = 2"
    assert said[5] == "nothing found"
    assert said[6].startswith("the search failed: ")


def test_an_explorer_writes_in_its_scratch_and_reads_it_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    model = ScriptedModel(
        use("write_file", path="notes.md", text="no"),
        use("write_file", path="@scratch/deep/notes.md", text="yes"),
        use("read_file", path="@scratch/deep/notes.md"),
        use("list_files", path="@scratch"),
        end(artifacts=["@scratch/deep/notes.md"]),
    )
    result = scene.finish(model)
    assert model.outputs() == [
        "an explorer writes below @scratch/ only, not notes.md",
        "written: @scratch/deep/notes.md (3 bytes)",
        "yes",
        "deep/\ndeep/notes.md  3 bytes",
    ]
    assert [(found.name, scene.store.get(found.blob)) for found in result.artifacts] == [("deep/notes.md", b"yes")]
    assert scene.person.asks == []
    assert list((tmp_path / "runtime" / "job-1").iterdir()) == []


def test_a_worker_writes_in_its_workspace_without_asking(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "worker")
    (scene.project / "a.py").write_text("x = 1\n")
    result = scene.finish(ScriptedModel(use("write_file", path="a.py", text="x = 2\n"), end(artifacts=["a.py"])))
    assert scene.store.get(result.artifacts[0].blob) == b"x = 2\n"
    assert scene.person.asks == []


def test_default_asks_before_each_write(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "default", Verdict(False, "not this one"))
    model = ScriptedModel(use("write_file", path="a.py", text="x = 2\n"), end(artifacts=["a.py"]), end())
    scene.finish(model)
    (ask,) = scene.person.asks
    assert (ask.action, ask.detail) == ("write: a.py (6 bytes)", "a.py\n\nx = 2\n")
    assert model.outputs() == [
        "the person declined: not this one. It was not done: do without it, or say so in your result",
        "there is no a.py: list_files shows what there is",
    ]


def test_lines_of_a_file_are_read_piece_by_piece(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (scene.project / "log").write_text("\n".join(f"line {n}" for n in range(1, 11)))
    (scene.project / "image").write_bytes(b"\x89PNG\0\0")
    (scene.project / "empty").touch()
    assert scene.answers(
        call("read_file", path="log", start=4, lines=2),
        call("read_file", path="log", start=40),
        call("read_file", path="image"),
        call("read_file", path="empty"),
    ) == ["line 4\nline 5\n[lines 4 to 5 of 10]", "log has 10 lines", "image is no text (6 bytes)", "[empty]"]


# The folder itself.


def test_what_becomes_a_link_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    for file in (root / "sub" / "f", root / "f"):
        file.write_text("inside")
    (outside / "f").write_text(SECRET)
    tree, over = Tree(root, "the project"), threading.Event()

    def exchange() -> None:
        while not over.is_set():
            os.rename(root / "sub", root / "kept")
            os.symlink(outside, root / "sub")
            os.unlink(root / "sub")
            os.rename(root / "kept", root / "sub")
            os.symlink(outside / "f", root / "link")
            os.replace(root / "link", root / "f")
            (root / "plain").write_text("inside")
            os.replace(root / "plain", root / "f")

    def act() -> Iterator[bytes]:
        try:
            yield tree.read("sub/f")
            yield tree.read("f")
            tree.write("f", b"inside")
        except Told as told:
            yield b"link" if "link" in str(told) else b"gone"

    thread = threading.Thread(target=exchange)
    thread.start()
    seen: set[bytes] = set()
    rounds = 0
    try:
        while rounds < 1000 or not seen >= {b"inside", b"link"}:
            seen.update(act())
            rounds += 1
    finally:
        over.set()
        thread.join()
    assert seen <= {b"inside", b"link", b"gone"}
    assert (outside / "f").read_text() == SECRET


def test_a_tree_stays_the_folder_that_it_was_opened_as(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    tree = Tree(root, "the project")
    root.rename(tmp_path / "elsewhere")
    root.symlink_to(outside)
    tree.write("f", b"x")
    assert list(outside.iterdir()) == []
    assert (tmp_path / "elsewhere" / "f").read_bytes() == b"x"
    with pytest.raises(OSError, match="root"):
        Tree(root, "the project")


def test_a_write_leaves_the_other_name_of_a_file_alone(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "other").write_text("as it was")
    os.link(tmp_path / "other", tmp_path / "root" / "f")
    os.chmod(tmp_path / "other", 0o640)
    Tree(tmp_path / "root", "it").write("f", b"new")
    assert (tmp_path / "other").read_text() == "as it was"
    assert (tmp_path / "root" / "f").read_text() == "new"
    assert os.listdir(tmp_path / "root") == ["f"]


def test_a_file_that_is_too_large_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x" * 11)
    with pytest.raises(Told, match="f has 11 bytes, at most 10 are read"):
        Tree(tmp_path, "it").read("f", 10)
    with pytest.raises(Told, match="at most 10 can be kept"):
        Tree(tmp_path, "it").copy("f", tmp_path / "copy", 10)


def test_a_list_ends_somewhere_and_shows_no_tricks(tmp_path: Path) -> None:
    for number in range(510):
        (tmp_path / f"f{number}").touch()
    (tmp_path / "a\nb\x1b[2J").touch()
    lines = Tree(tmp_path, "it").entries(".", 1)
    assert lines[0] == "a?b  0 bytes"
    assert lines[-1] == "… more than 500 entries: list a folder below"
    assert len(lines) == 501


# The copy.


def test_a_copy_has_the_project_without_what_belongs_to_tools(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for path in ("src/a.py", ".git/config", "node_modules/x.js", "env/pyvenv.cfg", "env/lib.py", "mine/job/f", ".env"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(path)
    os.chmod(project / "src" / "a.py", 0o755)
    (project / "near").symlink_to("src/a.py")
    (project / "out").symlink_to("../elsewhere")
    (project / "far").symlink_to("/etc/passwd")
    os.mkfifo(project / "pipe")
    Copy(project, tmp_path / "copy", apart=project / "mine").make()
    assert snapshot(tmp_path / "copy") == {"src/a.py": b"src/a.py", "near": "src/a.py"}
    assert (tmp_path / "copy" / "src" / "a.py").stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(tmp_path / "copy")) == ["near", "src"]


@pytest.mark.parametrize("bounds", [{"files": 2}, {"size": 2 << 20}])
def test_a_project_that_is_too_large_fails_before_anything_is_copied(tmp_path: Path, bounds: dict[str, int]) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in "abc":
        (project / name).write_bytes(bytes(1 << 20))
    with pytest.raises(TooLarge, match="-r explorer"):
        Copy(project, tmp_path / "copy", **bounds).make()
    assert not (tmp_path / "copy").exists()


def test_a_project_that_is_too_large_or_gone_fails_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, "worker")
    (scene.project / "a").touch()
    monkeypatch.setattr(
        "jupyter_orchestra.workers.agent_workspace.Copy.__init__.__kwdefaults__", {"files": 0, "size": 9}
    )
    assert "too large for a workspace" in scene.fail(ScriptedModel(use("list_files"))).failure.message
    shutil.rmtree(scene.project)
    assert scene.fail(ScriptedModel(use("list_files"))).failure.kind == "start"


def test_a_copy_can_be_given_up(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    copy = Copy(tmp_path / "project", tmp_path / "copy")
    copy.stop()
    with pytest.raises(Stopped):
        copy.make()
