from __future__ import annotations

import pytest

from jupyter_orchestra.core.offers import ACK_WITHIN, CLAIM_WITHIN, Offers, Page, Parcel, SendGrant, SendOffer, Shown

NOTEBOOK = "/home/ada/work/nb.ipynb"
RESULT = Parcel("u", 1, NOTEBOOK, "cell", "session")
KEY = RESULT.key


def page(
    client: str, path: str = "work/nb.ipynb", *, session: str = "", visible: bool = True, front: float = 0
) -> Page:
    return Page(client, session, path, visible, front)


def opened(*pages: Page) -> Offers:
    offers = Offers()
    for one in pages:
        offers.came(one, 0.0)
    offers.ready(RESULT, 0.0)
    return offers


def absent(offers: Offers, client: str, now: float = 0.01, *, anchored: bool = False) -> list[str]:
    wishes = offers.claimed(client, KEY, "absent", anchored, now, 1)
    return [wish.client for wish in wishes if isinstance(wish, SendGrant)]


def offered(wishes: list[object]) -> set[str]:
    return {wish.client for wish in wishes if isinstance(wish, SendOffer)}


def test_a_result_is_offered_to_every_page_and_to_those_that_come_later() -> None:
    offers = Offers()
    offers.came(page("x", "x.ipynb"), 0.0)
    offers.came(page("a"), 0.0)
    assert offered(offers.ready(RESULT, 1.0)) == {"x", "a"}
    assert offered(offers.came(page("b"), 1.1)) == {"b"}


def test_a_result_that_waits_goes_to_the_first_page_that_comes() -> None:
    offers = Offers()
    assert not offers.ready(RESULT, 0.0)
    assert offers.came(page("a"), 1.0) == [SendGrant("a", RESULT, False)]


def test_the_only_page_gets_the_grant_without_being_asked_and_is_asked_when_it_does_not_save() -> None:
    offers = Offers()
    offers.came(page("a"), 0.0)
    assert offers.ready(RESULT, 0.0) == [SendGrant("a", RESULT, False)]
    offers.sent("a", KEY, 0.0)
    assert offered(offers.passed(ACK_WITHIN)) == {"a"}
    assert offers.claimed("a", KEY, "deleted", True, ACK_WITHIN, 2) == [Shown(RESULT)]


def test_a_page_alone_that_shows_another_notebook_is_asked() -> None:
    offers = opened(page("home"), page("x", "x.ipynb"))
    offers.left("home", 1.0)
    other = Parcel("v", 1, NOTEBOOK, "cell")
    assert offered(offers.ready(other, 1.0)) == {"x"}


@pytest.mark.parametrize(
    ("better", "worse", "anchored"),
    [
        (page("better", "x.ipynb", visible=False), page("worse", front=9.0), True),
        (page("better", visible=False), page("worse", "x.ipynb", front=9.0), False),
        (page("better", "x.ipynb", session="session"), page("worse", "y.ipynb", front=9.0), False),
        (page("better"), page("worse", visible=False, front=9.0), False),
        (page("better", front=2.0), page("worse", front=1.0), False),
    ],
    ids=["anchored", "home", "session", "visible", "front"],
)
@pytest.mark.parametrize("better_first", [True, False])
def test_the_better_page_gets_it_whoever_claims_first(
    better: Page, worse: Page, anchored: bool, better_first: bool
) -> None:
    offers = opened(better, worse)
    claims = [("better", anchored), ("worse", False)]
    granted = [
        client
        for name, holds in (claims if better_first else claims[::-1])
        for client in absent(offers, name, anchored=holds)
    ]
    granted += [wish.client for wish in offers.passed(CLAIM_WITHIN) if isinstance(wish, SendGrant)]
    assert granted == ["better"]


def test_a_better_page_that_does_not_claim_is_waited_for_but_not_for_long() -> None:
    offers = opened(page("front", front=9.0), page("back"))
    assert absent(offers, "back", anchored=True) == []
    assert offers.due() == CLAIM_WITHIN
    assert [type(wish) for wish in offers.passed(CLAIM_WITHIN)] == [SendGrant]


def test_a_page_of_another_notebook_never_gets_it_while_it_is_not_alone() -> None:
    offers = opened(page("x", "x.ipynb"), page("y", "y.ipynb"))
    assert absent(offers, "x") == absent(offers, "y") == []
    assert not offers.passed(100.0)
    assert offered(offers.came(page("home"), 101.0)) >= {"home"}
    assert absent(offers, "home", 101.1) == []
    granted = offers.claimed("home", KEY, "absent", False, 101.1, 2) + offers.passed(102.0)
    assert [wish.client for wish in granted if isinstance(wish, SendGrant)] == ["home"]


def test_where_all_pages_show_one_notebook_it_is_home_whatever_it_is_called() -> None:
    offers = opened(page("a", "renamed.ipynb"), page("b", "renamed.ipynb", visible=False))
    assert absent(offers, "a") + absent(offers, "b") == ["a"]


def test_a_result_waits_for_its_closed_notebook_and_does_not_go_to_another_of_that_kernel() -> None:
    offers = opened(page("home"), page("x", "x.ipynb"))
    offers.left("home", 1.0)
    assert not offers.claimed("x", KEY, "absent", False, 1.1) + offers.passed(100.0)
    offers.came(page("again"), 101.0)
    granted = offers.claimed("again", KEY, "absent", False, 101.1) + offers.claimed("x", KEY, "absent", False, 101.1)
    assert [wish.client for wish in granted if isinstance(wish, SendGrant)] == ["again"]


def test_a_notebook_that_is_renamed_in_its_page_stays_home_over_a_reload() -> None:
    offers = opened(page("a"))
    offers.changed(page("a", "renamed.ipynb"), 1.0)
    offers.came(page("a", "renamed.ipynb", session="other"), 2.0)
    granted = offers.claimed("a", KEY, "absent", False, 2.1)
    assert [wish.client for wish in granted if isinstance(wish, SendGrant)] == ["a"]


def test_a_path_that_only_ends_alike_is_not_home() -> None:
    assert absent(opened(page("a", "b.ipynb"), page("b", "my-nb.ipynb")), "b") == []


def test_what_a_page_holds_already_waits_for_its_ack_alone() -> None:
    offers = opened(page("a"), page("b", front=9.0))
    offers.claimed("a", KEY, "present", True, 0.01, 1)
    assert absent(offers, "b", anchored=True) == []
    assert offers.acked(KEY, 0.1) == [Shown(RESULT)]
    assert offers.acked(KEY, 0.2) == []


def test_what_the_person_deleted_is_shown_for_good() -> None:
    offers = opened(page("a"), page("b"))
    assert offers.claimed("b", KEY, "deleted", False, 0.01, 1) == [Shown(RESULT)]
    assert absent(offers, "a") == []


def test_without_an_ack_it_is_offered_again_and_the_page_that_may_hold_it_is_heard_first() -> None:
    offers = opened(page("a", front=9.0), page("b"))
    assert absent(offers, "a", anchored=True) == ["a"]
    offers.sent("a", KEY, 1.0)
    assert offered(offers.passed(1.0 + ACK_WITHIN)) == {"a", "b"}
    assert absent(offers, "b", 5.1) == []
    offers.claimed("b", KEY, "absent", True, 5.1, 2)
    assert not [wish for wish in offers.passed(8.9) if isinstance(wish, SendGrant)]
    granted = offers.left("a", 9.0)
    assert [wish.client for wish in granted if isinstance(wish, SendGrant)] == ["b"]


def test_a_newer_attempt_takes_the_place_of_the_older() -> None:
    offers = opened(page("a"))
    newer = Parcel("u", 2, NOTEBOOK, "cell")
    assert {wish.parcel for wish in offers.ready(newer, 1.0)} == {newer}
    assert absent(offers, "a") == []
    assert offers.acked(KEY, 1.0) == []


def test_a_result_may_be_meant_for_a_cell_that_runs_later() -> None:
    offers = Offers()
    offers.came(page("a"), 0.0)
    meant = Parcel("u", 1, NOTEBOOK, "cell", "session", into="asks", filled=True)
    (offer,) = offers.ready(meant, 1.0)
    assert isinstance(offer, SendOffer)
    (grant,) = offers.claimed("a", KEY, "absent", True, 1.1, offer.round)
    assert grant == SendGrant("a", meant, True)
    assert not offers.ready(RESULT, 1.2), "a page has it by now"


@pytest.mark.parametrize("front", [0, 1])
def test_a_reply_goes_to_the_page_that_shows_its_stream(front: int) -> None:
    reply = Parcel("u", 1, NOTEBOOK, "cell", "session", into="cell")
    offers = Offers()
    offers.came(page("streams", session="session", visible=False), 0.0)
    offers.came(page("other", session="else", front=front), 0.0)
    offers.ready(reply, 0.0)
    assert absent(offers, "other", anchored=True) == []
    assert absent(offers, "streams", anchored=True) == ["streams"]


def test_results_of_one_cell_are_granted_in_the_order_of_arrival() -> None:
    offers = opened(page("a"), page("x", "x.ipynb"))
    second, elsewhere = Parcel("second", 1, NOTEBOOK, "cell"), Parcel("elsewhere", 1, NOTEBOOK, "other")
    for parcel in (second, elsewhere):
        offers.ready(parcel, 0.0)
    assert offers.claimed("a", second.key, "absent", True, 0.1, 1) == []
    assert offers.claimed("a", elsewhere.key, "absent", True, 0.1, 1) == [SendGrant("a", elsewhere, True)]
    assert offers.claimed("a", KEY, "absent", True, 0.2, 1) == [
        SendGrant("a", RESULT, True),
        SendGrant("a", second, True),
    ]
