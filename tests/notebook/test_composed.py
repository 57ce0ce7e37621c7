from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_orchestra.errors import OrchestraError
from jupyter_orchestra.notebook.composed import read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing to dispatch"),
        (" \n\t\n", "nothing to dispatch"),
        ("%%chat\nhello", "not available yet"),
        ("%%time\n1", "%%time belongs into a cell"),
        ("%tasks", "%tasks belongs into a cell"),
        ("%chat how far is it?", "not available yet"),
        ("%cancel one\n%cancel two", "%cancel belongs into a cell"),
        ("%%dispatch one two\n1", "'two' is one word too many"),
        ("%%dispatch 'one\n1", "close the quotes"),
        ("%%dispatch --bad\n1", "unknown flag --bad"),
        ("%%dispatch --help\n1", "run %%dispatch --help in a cell"),
        ("%%dispatch -o one\n1", "-o names a variable"),
        ("%%dispatch --tier best\n1", "not available yet"),
    ],
)
def test_what_is_no_dispatch_is_refused_in_one_line(text: str, said: str) -> None:
    client: Any = SimpleNamespace(runtime=SimpleNamespace(workers={}))
    with pytest.raises(OrchestraError) as refused:
        read(text, client)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
