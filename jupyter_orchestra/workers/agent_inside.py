"""Owns the process of an agent's kernel: a spawned kernel whose variables stay from one piece of code to the next.

``python -m jupyter_orchestra.workers.agent_inside -f connection.json``
"""

from __future__ import annotations

from typing import Any

from traitlets import default

from .inside import TaskApp, TaskKernel, main
from .inside_shell import TaskShell
from .inside_task import Runner


class KeepingShell(TaskShell):
    """Gives every piece of code the same namespace."""

    kept: dict[str, Any] | None = None

    def renew(self, task: str, code: str) -> dict[str, Any]:
        """The namespace, made once."""
        if self.kept is None:
            self.kept = super().renew(task, code)
        base: Any = self
        base.displayhook.begin(code)
        return self.kept


class KeepingRunner(Runner):
    """Leaves everything as the code before left it."""

    def _clear_away(self, end: dict[str, Any]) -> str:
        self._drain()
        return "kept for the next piece of code"


class KeepingKernel(TaskKernel):
    """The kernel of one agent."""

    shell_class = KeepingShell

    def _get_ready(self) -> None:
        shell: Any = self.shell
        self.runner = KeepingRunner(shell, shell.console)


class KeepingApp(TaskApp):
    """Its process."""

    @default("kernel_class")
    def _task_kernel(self) -> type[TaskKernel]:
        return KeepingKernel


if __name__ == "__main__":
    KeepingApp.instance()  # the one that main finds
    main()
