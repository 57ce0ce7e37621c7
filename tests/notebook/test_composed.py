from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_orchestra.errors import OrchestraError
from jupyter_orchestra.notebook.composed import Composer


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nothing to say"),
        (" \n\t\n", "there is nothing to say"),
        ("%%chat\n ", "there is nothing to say"),
        ("%%chat -t best\nhello", "the tier is one of"),
        ("%%dispatch one\n ", "there is nothing to dispatch"),
        ("%%time\n1", "%%time belongs into a cell"),
        ("%tasks", "%tasks belongs into a cell"),
        ("%cancel one\n%cancel two", "%cancel belongs into a cell"),
        ("%%dispatch one two\n1", "'two' is one word too many"),
        ("%%dispatch 'one\n1", "close the quotes"),
        ("%%dispatch --bad\n1", "unknown flag --bad"),
        ("%%dispatch --help\n1", "run %%dispatch --help in a cell"),
        ("%%dispatch -o one\n1", "-o names a variable"),
        ("%%dispatch --tier best\n1", "kernel tasks have no model"),
    ],
)
def test_what_can_not_be_taken_is_refused_in_one_line(text: str, said: str) -> None:
    client: Any = SimpleNamespace(runtime=SimpleNamespace(workers={"kernel": None}))
    cells: Any = SimpleNamespace(_shell=None, _notebook="", _snapshots=None, _later={})
    with pytest.raises(OrchestraError) as refused:
        Composer(client, cells).take(text, "session")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
