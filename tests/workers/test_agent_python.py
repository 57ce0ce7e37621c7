"""Which pieces of an agent's Python run tests, by their text alone."""

from __future__ import annotations

import pytest

from jupyter_orchestra.resources.commands import is_test_command
from jupyter_orchestra.workers.agent_python import scripts_of

TESTS = [
    "import pytest\npytest.main(['-q'])",
    "import pytest as p\nif True:\n    code = p.main()",
    "from pytest import main as go\ngo(['tests'])",
    "import unittest\nunittest.main(argv=[''], exit=False)",
    "import unittest\nunittest.TextTestRunner().run(suite)",
    "from unittest import TextTestRunner\nTextTestRunner(verbosity=2).run(suite)",
    "import subprocess\nsubprocess.run(['pytest', '-q'], check=False)",
    "import subprocess, sys\nprint(subprocess.run([sys.executable, '-m', 'pytest', *names], capture_output=True))",
    "from subprocess import check_output\ncheck_output('cd src && python -m pytest -q', shell=True)",
    "import subprocess as sp\np = sp.Popen('pytest -q'.split())",
    "import shlex, subprocess\nsubprocess.run(shlex.split('python -m unittest discover'))",
    "import os\nos.system('make test')",
    "import runpy\nrunpy.run_module('pytest', run_name='__main__')",
    "import asyncio\np = await asyncio.create_subprocess_exec('tox', '-e', 'py')",
    "name = 'tests/api'\nimport os\nos.system(f'pytest {name}')",
    "!pytest -q",
    "out = !python -m pytest",
    "%run -m pytest -q",
    "%%bash\ncd src\npytest",
    "%%time\nimport pytest\npytest.main()",
    "x = 1\n%sx npm test",
]
OTHERS = [
    "import pytest\npytest.approx(1.0)",
    "import unittest\nclass Test(unittest.TestCase):\n    def test(self): pass",
    "import subprocess\nsubprocess.run(['git', 'log', '--grep', 'pytest'])",
    "print('pytest')",
    "import os\nos.system('pip install pytest')",
    "def main(): pass\nmain()",
    "!ls tests",
    "this is no Python",
    "(" * 5_000,
    "",
]


@pytest.mark.parametrize("code", TESTS)
def test_python_that_runs_tests_is_known(code: str) -> None:
    assert is_test_command(scripts_of(code))


@pytest.mark.parametrize("code", OTHERS)
def test_other_python_is_not_taken_for_it(code: str) -> None:
    assert not is_test_command(scripts_of(code))


def test_the_projects_own_command_is_known_in_python_too() -> None:
    code = "import subprocess\nsubprocess.run(['bash', 'all-checks.sh'])"
    assert is_test_command(scripts_of(code), "bash all-checks.sh")
