"""The command `jupyter orchestra`: reads the arguments and prints; it decides nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

import jupyter_orchestra


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jupyter orchestra` with these arguments and return the exit code."""
    arguments = _parser().parse_args(argv)
    return _demo(arguments) if arguments.command == "demo" else _doctor(arguments)


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
    return parser


def _doctor(arguments: argparse.Namespace) -> int:
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
