from __future__ import annotations

import pytest

from jupyter_orchestra.master.folding import fold_point, summed_up, tokens
from jupyter_orchestra.master.inbox import inbox_item, user_item

SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}
LONG = [user_item("x" * 40_000), SAID]


def test_a_turn_longer_than_the_window_is_summed_up_once_the_next_one_begins() -> None:
    assert fold_point(LONG, 4_000, 0) == 0
    assert fold_point(LONG, 4_000, 0, whole=True) == 2


def test_an_inbox_stays_with_the_message_behind_it() -> None:
    assert fold_point([*LONG, inbox_item("inbox_2_1")], 4_000, 0, whole=True) == 2


@pytest.mark.parametrize("window", [4_000, 128_000])
def test_a_sum_leaves_room_in_the_window(window: int) -> None:
    found = ""
    for number in range(200):
        found = summed_up(found, [user_item(f"message {number} " + "word " * 100)], window)
    assert "message 199" in found
    assert len(found.encode()) <= min(12_000, window) + 200


def test_tokens_are_counted_by_bytes() -> None:
    assert tokens([user_item("語" * 4_000)]) > 3_000
