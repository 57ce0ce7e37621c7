"""A podman with a store of its own, one small image in it, and what the tests ask of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGE = "localhost/jo-small:latest"
PROGRAMS = ("bash", "cat", "sleep", "perl")
SERVER = (  # answers each connection with one line; perl-base brings what it needs
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => shift, Listen => 5, ReuseAddr => 1) or die;"
    'while (my $c = $s->accept) { print $c "from inside\\n"; close $c }'
)
_ATTEMPTS = ((), ("--runtime", "crun"), ("--runtime", "runc"), ("--cgroups=disabled",))


class PodmanStore:
    """Podman's files, all in one folder, and the environment in which podman finds them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        storage = {"driver": "vfs", "graphroot": f"{folder}/graph", "runroot": f"{folder}/run"}
        write_tables(folder / "storage.conf", {"storage": storage})
        engine = {"tmp_dir": f"{folder}/tmp", "lock_type": "file", "events_logger": "none"}
        network = {"network_config_dir": f"{folder}/networks"}
        write_tables(folder / "containers.conf", {"engine": engine, "network": network})
        self.environment: Mapping[str, str] = {
            "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
            "CONTAINERS_CONF": f"{folder}/containers.conf",
        }

    def fill(self) -> None:
        """Import the image."""
        write_root(self.folder / "root.tar")
        self.call("import", str(self.folder / "root.tar"), IMAGE)

    def works(self, *more: str) -> str:
        """Why no container runs here, in podman's words; empty when one does."""
        why = ""
        for attempt in _ATTEMPTS:
            before, after = (attempt, ()) if attempt[:1] == ("--runtime",) else ((), attempt)
            words = (*before, "run", *after, "--rm", "--pull", "never", *limits(), *more, IMAGE, "cat", "/proc/version")
            ran = self.run(*words)
            if ran.returncode == 0:
                return ""
            why = why or ran.stderr.strip()
        return why

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *words], env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60
        )

    def call(self, *words: str) -> str:
        ran = self.run(*words)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    @property
    def containers(self) -> list[str]:
        """The names of all there are, running or not."""
        return self.call("ps", "--all", "--format", "{{.Names}}").split()

    def inspect(self, name: str) -> Any:
        return json.loads(self.call("inspect", name))[0]

    def empty(self) -> None:
        """Remove every container."""
        self.call("rm", "--all", "--force", "--time", "0")


def limits() -> tuple[str, ...]:
    """Podman asks for more than a process without that right may have."""
    return ("--ulimit", "nofile=256:256", "--ulimit", "nproc=256:256")


def write_tables(file: Path, tables: Mapping[str, Mapping[str, str]]) -> None:
    lines = [f"[{title}]\n" + "".join(f'{k} = "{v}"\n' for k, v in table.items()) for title, table in tables.items()]
    file.write_text("".join(lines))


def write_root(tar: Path) -> None:
    """A root file system of this machine's own shell and a few programs."""
    files = {f"bin/{name}": Path(str(shutil.which(name))).resolve() for name in PROGRAMS}
    for program in list(files.values()):
        listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
        files |= {found.lstrip("/"): Path(found).resolve() for found in re.findall(r"(/\S+) \(0x", listed)}
    with tarfile.open(tar, "w") as archive:
        for name, path in files.items():
            archive.add(path, name)
        for library in Path("/usr/lib").glob("*/perl-base"):
            archive.add(library, str(library).lstrip("/"))
