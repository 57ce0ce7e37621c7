"""The command `jupyter orchestra`: reads the arguments and hands them on; it decides nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import jupyter_orchestra


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jupyter orchestra` with these arguments and return the exit code."""
    arguments = _parser().parse_args(argv)
    match arguments.command:
        case "demo":
            return _demo(arguments)
        case "doctor":
            return _doctor(arguments)
    from jupyter_orchestra import cli_tasks

    return cli_tasks.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jupyter orchestra", description="Background workers for one notebook.")
    parser.add_argument("--version", action="version", version=jupyter_orchestra.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    text = "say what this machine can do, and how to get what is missing"
    doctor = commands.add_parser("doctor", help=text, description=text)
    doctor.add_argument("--json", action="store_true", help="print a JSON list instead of text")

    text = "open the first notebook in JupyterLab; without a browser, run it and print what happened"
    demo = commands.add_parser("demo", help=text, description=text)
    demo.add_argument("--headless", action="store_true", help="run the notebook here and print what happened")
    demo.add_argument("--notebook", metavar="PATH", help="another notebook than the first one")

    _add_tasks(commands)
    return parser


def _add_tasks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands that speak to a living kernel; they work while its cells compute."""

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--notebook",
            metavar="PATH",
            help="of which notebook, or the id of its kernel's process; default: the only one",
        )
        return command

    for name, text in (("status", "say which notebooks are at work, and what needs you"), ("tasks", "list the tasks")):
        add(name, text).add_argument("--json", action="store_true", help="print a JSON list instead of text")
    for name, text in (
        ("cancel", "cancel tasks; what they had put out is kept"),
        ("pause", "hold tasks; resume lets them go on"),
        ("resume", "let held tasks go on"),
    ):
        command = add(name, text)
        command.add_argument("names", nargs="*", metavar="NAME")
        command.add_argument("--all", action="store_true", help="every task that has not ended")
    approve = add("approve", "say yes to what a task asks")
    approve.add_argument("name", metavar="NAME")
    approve.add_argument("--always", action="store_true", help="also to the same question of that task again")
    decline = add("decline", "say no to what a task asks")
    decline.add_argument("name", metavar="NAME")
    decline.add_argument("why", nargs="*", metavar="WHY", help="what the worker is told")
    add("explain", "say why a task is where it is").add_argument("name", metavar="NAME")
    add("leases", "say who holds what, and who waits for it")


def _doctor(arguments: argparse.Namespace) -> int:
    import msgspec

    from jupyter_orchestra import doctor

    checks = doctor.run_checks()
    print(msgspec.json.encode(checks).decode() if arguments.json else doctor.render(checks))
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from jupyter_orchestra import demo

    try:
        notebook = demo.find_notebook(arguments.notebook)
        if not arguments.headless and demo.can_open_browser():
            demo.open_in_lab(notebook)
        if not arguments.headless:
            print("No browser can be opened here, so the notebook runs without a page.")
        print(f"Running {notebook.name} in a fresh kernel ...", flush=True)
        print(f"\n{demo.render(demo.run_headless(notebook))}")
    except demo.DemoError as error:
        print(f"jupyter orchestra demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
