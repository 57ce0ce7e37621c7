"""The values of results for which Python has no type; light, since every process that unpickles one loads it."""

from __future__ import annotations


class ShellResult(int):
    """The exit code of a shell task, with what it wrote: ``stdout`` and ``stderr``, each its beginning and its end."""

    stdout: str
    stderr: str

    def __new__(cls, code: int, stdout: str = "", stderr: str = "") -> ShellResult:
        result = super().__new__(cls, code)
        result.stdout = stdout
        result.stderr = stderr
        return result

    def __repr__(self) -> str:
        return f"ShellResult({int(self)}, stdout={_clipped(self.stdout)}, stderr={_clipped(self.stderr)})"

    def __reduce__(self) -> tuple[type[ShellResult], tuple[int, str, str]]:
        return ShellResult, (int(self), self.stdout, self.stderr)


def _clipped(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]}…{text[-19:]}")


class NotCopied:
    """Stands for a value that can't be pickled: it stayed in the kernel that made it."""

    def __init__(self, kind: str, why: str) -> None:
        self.kind = kind
        self.why = why

    def __repr__(self) -> str:
        return f"<{self.kind}, not copied: it stayed in its kernel, because {self.why}>"
