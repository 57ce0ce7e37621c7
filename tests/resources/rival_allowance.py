"""A process that spends of the allowance of a file: ``PATH LIMIT ROUNDS``; with 0 rounds it reserves and hangs."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

from jupyter_orchestra.core.limits import Amounts, Limits
from jupyter_orchestra.resources.allowance import AllowanceFile


def main(path: str, limit: int, rounds: int) -> None:
    file, limits, chance = AllowanceFile(Path(path)), Limits(tokens=limit), random.Random()
    if not rounds:
        print(file.reserve(limits, "cut off", Amounts(tokens_out=300)), flush=True)
        signal.pause()
    spent = 0
    for number in range(rounds):
        most = chance.randint(1, 40)
        if not file.reserve(limits, str(number), Amounts(tokens_in=most)):
            actual = chance.choice([None, Amounts(tokens_in=chance.randint(0, most))])
            file.settle(limits, str(number), actual)
            spent += most if actual is None else actual.tokens
    print(spent, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
