import copy
import json
import pickle

import msgspec
import pytest

from jupyter_orchestra.errors import ModelError
from jupyter_orchestra.models.endpoint import OPENAI, Endpoint, Secret
from jupyter_orchestra.models.tiers import tiers_of
from jupyter_orchestra.models.usage import Prices, estimate_tokens
from jupyter_orchestra.models.values import ModelUsage

ENDPOINT = Endpoint("https://models.test/v1", tiers={"fast": "small", "strong": "big"}, key=Secret.of("sk-secret"))


def test_a_key_is_in_no_picture_of_its_endpoint() -> None:
    pictures = [repr(ENDPOINT), str(ENDPOINT.key), f"{ENDPOINT}", msgspec.json.encode(ENDPOINT).decode()]
    pictures += [repr(pickle.dumps(ENDPOINT)), json.dumps(msgspec.to_builtins(ENDPOINT))]
    assert not any("sk-secret" in picture for picture in pictures)
    assert ENDPOINT.key.reveal() == "sk-secret"
    assert not pickle.loads(pickle.dumps(ENDPOINT)).key
    assert copy.copy(ENDPOINT.key).reveal() == "sk-secret"


def test_a_key_is_taken_out_of_what_others_say() -> None:
    assert ENDPOINT.key.hide_in("no sk-secret here") == "no … here"
    assert Secret().hide_in("nothing") == "nothing"


def test_a_tier_is_a_model_and_a_model_is_itself() -> None:
    assert ENDPOINT.model_for("strong") == "big"
    assert ENDPOINT.model_for("strong", "mine") == "mine"
    with pytest.raises(ModelError, match="%orchestra model standard=NAME"):
        ENDPOINT.model_for("standard")
    with pytest.raises(ModelError, match="there is no tier 'huge': use one of fast, standard, strong"):
        ENDPOINT.model_for("huge")


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://localhost/v1", True),
        ("http://127.0.0.1.evil.test/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_this_machine_is_told_by_the_host(url: str, local: bool) -> None:
    assert Endpoint(url).is_loopback is local


@pytest.mark.parametrize(
    ("names", "tiers"),
    [
        ([], None),
        (["nomic-embed-text", "whisper-1"], None),
        (["only"], ("only", "only", "only")),
        (
            ["gpt-5", "gpt-5-mini", "gpt-4o", "gpt-5-pro", "gpt-5-2025-08-07", "o3", "tts-1"],
            ("gpt-5-mini", "gpt-5", "gpt-5"),
        ),
        (["qwen3:8b", "llama3.3:70b", "qwen2.5-coder:1.5b"], ("qwen2.5-coder:1.5b", "qwen3:8b", "llama3.3:70b")),
        (["mistral-large", "mistral-small", "mistral"], ("mistral-small", "mistral", "mistral-large")),
        (["a-flash", "a-nano"], ("a-nano", "a-nano", "a-nano")),
    ],
)
def test_names_of_models_tell_their_tiers(names: list[str], tiers: tuple[str, ...] | None) -> None:
    assert tiers_of(names) == (dict(zip(("fast", "standard", "strong"), tiers, strict=True)) if tiers else {})


def test_the_price_of_a_known_model_is_known_and_of_others_is_not() -> None:
    pytest.importorskip("genai_prices")
    usage = ModelUsage(1_000_000, 0, 1000)
    prices = Prices(OPENAI)
    assert prices.add_cost(usage, "gpt-4o").cost is None
    prices.load()
    assert 1 < (prices.add_cost(usage, "gpt-4o").cost or 0) < 10
    assert prices.add_cost(usage, "no-such-model").cost is None
    elsewhere = Prices("https://models.test/v1")
    elsewhere.load()
    assert elsewhere.add_cost(usage, "gpt-4o").cost is None


def test_tokens_are_estimated_from_bytes() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("äöü") == 2
    assert estimate_tokens([{"a": "b"}]) == 3
