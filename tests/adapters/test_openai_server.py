"""The server as its clients see it: real sockets, OpenAI's own client, random weights."""

from __future__ import annotations

import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
openai = pytest.importorskip("openai", reason="OpenAI's client is not installed")
import httpx  # noqa: E402
import uvicorn  # noqa: E402
from dspy.lm15 import Config, Request  # noqa: E402
from dspy.lm15 import Message as LmMessage  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from aegir_dspy.adapters.dspy_lm.fields import prompt_of  # noqa: E402
from aegir_dspy.adapters.openai_server import Host, Limits, create_app, gate, serve  # noqa: E402
from aegir_dspy.adapters.openai_server.plan import chat_prompt  # noqa: E402
from aegir_dspy.adapters.openai_server.wire import Message  # noqa: E402
from aegir_dspy.errors import InputError  # noqa: E402
from aegir_dspy.result import result_document  # noqa: E402
from aegir_dspy.rwkv import Engine  # noqa: E402
from aegir_dspy.swarm import Swarm  # noqa: E402

KEY = "a key of this test"
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["city", "name"]},
        "count": {"type": "integer"},
        "sure": {"type": "boolean"},
    },
    "required": ["kind", "count", "sure"],
    "additionalProperties": False,
}
CHAT: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say it."}]


@contextmanager
def running(host: Host, key: str | None = KEY, local: bool = False) -> Iterator[str]:
    """A server on a free port; its address."""
    app = create_app(host, api_key=key, local=local)
    patience = {"timeout_graceful_shutdown": 5, "timeout_keep_alive": 75}
    config = uvicorn.Config(app, port=0, log_level="error", **patience)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(120)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, make_weights: Callable[..., Path]) -> Engine:
    return Engine.load(make_weights(tmp_path_factory.mktemp("serve") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def host(engine: Engine, bundle_path: Path) -> Host:
    swarm = Swarm(checkpoint=str(bundle_path), abstain_below=0.0)
    limits = Limits(body_bytes=100_000, prompt_tokens=3000, max_tokens=200, requests=64, states=2)
    return Host(
        {"tiny": engine}, limits=limits, annotate=lambda tables: result_document(swarm(tables=tables))
    )


@pytest.fixture(scope="module")
def address(host: Host) -> Iterator[str]:
    with running(host) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: str) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as found:
        yield found


def test_completion(client: Any, engine: Engine) -> None:
    asked = {"model": "tiny", "prompt": "ab", "max_tokens": 12, "temperature": 0.9, "seed": 3, "n": 2}
    found = client.completions.create(**asked, logprobs=2, extra_body={"return_token_ids": True})
    again = client.completions.create(**{**asked, "model": "aegir/tiny"})
    assert [c.text for c in found.choices] == [c.text for c in again.choices]
    assert [c.index for c in found.choices] == [0, 1] and found.choices[0].text != found.choices[1].text
    assert found.usage.prompt_tokens == 2
    assert found.usage.completion_tokens == sum(len(c.token_ids) for c in found.choices)
    first = found.choices[0]
    assert first.prompt_token_ids == list(b"ab")
    assert len(first.logprobs.tokens) == len(first.logprobs.token_logprobs) == len(first.logprobs.text_offset)
    assert all(len(top) == 2 for top in first.logprobs.top_logprobs)
    given = engine.score("ab", [first.text])[0] if first.text.isascii() else None
    assert given is None or given == pytest.approx(sum(first.logprobs.token_logprobs), abs=1e-3)


def test_prompts_of_every_form(client: Any) -> None:
    ask = partial(client.completions.create, model="tiny", max_tokens=5, temperature=0)
    single = [ask(prompt=text).choices[0].text for text in ("one", "two")]
    assert [c.text for c in ask(prompt=["one", "two"]).choices] == single
    assert [c.text for c in ask(prompt=[list(b"one"), list(b"two")]).choices] == single
    assert ask(prompt=list(b"two")).choices[0].text == single[1]


def test_chat_reads_what_the_dspy_door_reads(client: Any) -> None:
    system, user = (turn["content"] for turn in CHAT)
    request = Request(model="m", system=system, messages=(LmMessage.user(user),), config=Config())
    prompt = chat_prompt([Message(**turn) for turn in CHAT])
    assert prompt == prompt_of(request)
    found = client.chat.completions.create(
        model="tiny", messages=CHAT, max_tokens=9, temperature=0, logprobs=True, top_logprobs=1
    )
    told = client.completions.create(
        model="tiny", prompt=prompt, max_tokens=9, temperature=0, stop=["\n\nUser:", "\n\nSystem:"]
    )
    [choice] = found.choices
    assert choice.message.content == told.choices[0].text
    scores = choice.logprobs.content
    assert b"".join(bytes(s.bytes) for s in scores).decode("utf-8", "replace") == choice.message.content
    assert all(s.top_logprobs[0].logprob >= s.logprob - 1e-6 for s in scores)


def test_stop_ends_the_text(client: Any) -> None:
    ask = partial(client.completions.create, model="tiny", prompt="x", max_tokens=80, temperature=1.0, seed=5)
    whole = ask().choices[0].text
    stop = next(letter for letter in whole[5:] if letter.isascii())
    cut = ask(stop=[stop], logprobs=0).choices[0]
    assert cut.text == whole[: whole.index(stop)] and cut.finish_reason == "stop"
    assert len(cut.logprobs.tokens) <= len(cut.text.encode())


@pytest.mark.parametrize("count", [1, 3])
def test_streams_come_in_pieces_and_make_the_whole(client: Any, count: int) -> None:
    asked = {"model": "tiny", "messages": CHAT, "max_tokens": 30, "temperature": 1.0, "seed": 1, "n": count}
    whole = client.chat.completions.create(**asked)
    told, ends, usage, chunks = [""] * count, [""] * count, None, 0
    for event in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        chunks += 1
        usage = event.usage
        for choice in event.choices:
            told[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    assert told == [c.message.content for c in whole.choices]
    assert ends == [c.finish_reason for c in whole.choices]
    assert usage == whole.usage and chunks > 5 * count


@pytest.mark.parametrize("stop", [None, ["e", "aab"]])
def test_every_event_tells_of_the_tokens_that_its_text_completes(client: Any, stop: list[str] | None) -> None:
    asked = {"model": "tiny", "max_tokens": 60, "temperature": 1.0, "seed": 1, "stop": stop}
    asked |= {"extra_body": {"return_token_ids": True}}
    text = {**asked, "prompt": "q", "logprobs": 1}
    [whole] = client.completions.create(**text).choices
    events = [event.choices[0] for event in client.completions.create(**text, stream=True)]
    assert "".join(event.text for event in events) == whole.text
    assert [token for event in events for token in event.token_ids] == whole.token_ids
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        told = [one for event in events for one in getattr(event.logprobs, name) or ()]
        assert told == getattr(whole.logprobs, name), name
    assert sum(bool(event.logprobs.tokens) for event in events) > 3
    chat = {**asked, "messages": CHAT, "logprobs": True, "top_logprobs": 2}
    [whole] = client.chat.completions.create(**chat).choices
    events = [event.choices[0] for event in client.chat.completions.create(**chat, stream=True)]
    scores = [score for event in events if event.logprobs for score in event.logprobs.content]
    assert scores == whole.logprobs.content
    for event in events[1:-1]:
        said = b"".join(bytes(score.bytes) for score in event.logprobs.content)
        assert said.decode("utf-8", "replace") == event.delta.content


def test_json_schema_holds_under_random_weights(client: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "found", "schema": SCHEMA, "strict": True}}
    answers = set()
    for seed in range(6):
        asked = {"model": "tiny", "messages": CHAT, "temperature": 1.5, "seed": seed, "response_format": form}
        text = client.chat.completions.create(**asked, max_tokens=40).choices[0].message.content
        jsonschema.validate(json.loads(text), SCHEMA)
        answers.add(text)
    assert len(answers) > 1
    streamed = client.chat.completions.create(**asked, max_tokens=40, stream=True)
    assert "".join(e.choices[0].delta.content or "" for e in streamed) == text


def test_patterns_and_choices(client: Any) -> None:
    ask = partial(client.completions.create, model="tiny", prompt="x", temperature=1.5, seed=2, max_tokens=20)
    assert ask(extra_body={"guided_choice": ["red", "green"]}).choices[0].text in ("red", "green")
    text = ask(extra_body={"guided_regex": "[0-9]{3}-[ab]{2}"}).choices[0].text
    assert len(text) == 6 and text[3] == "-" and text[:3].isdigit()


def test_embeddings(client: Any, http: httpx.Client, engine: Engine) -> None:
    texts = ["one", "two", "one", "a longer text"]
    found = client.embeddings.create(model="tiny", input=texts)  # the client asks for base 64
    plain = client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    vectors = [entry.embedding for entry in found.data]
    assert found.model == "tiny" and [entry.index for entry in found.data] == [0, 1, 2, 3]
    assert found.usage.prompt_tokens == found.usage.total_tokens == sum(map(len, texts))
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-5) and vectors[0] != pytest.approx(vectors[1])
    hidden = engine.last_hidden(engine.read(["two"]))[0]
    assert vectors[1] == pytest.approx((hidden / hidden.norm()).tolist(), abs=1e-5)
    for one, other in zip(vectors, (entry.embedding for entry in plain.data), strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    tokens = client.embeddings.create(model="aegir/tiny", input=list(b"two")).data[0].embedding
    assert tokens == pytest.approx(vectors[1], abs=1e-5)
    for wrong in ({"input": ""}, {"input": []}, {"input": "x", "dimensions": 7}, {"input": "x" * 3001}):
        assert http.post("/v1/embeddings", json={"model": "tiny", **wrong}).status_code == 400


def test_a_constraint_nothing_satisfies_is_refused(client: Any) -> None:
    schema = {"type": "object", "properties": {"a": False}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "none", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match="satisfies"):
        client.chat.completions.create(model="tiny", messages=CHAT, response_format=form)


def test_a_state_is_read_once(http: httpx.Client, client: Any) -> None:
    read = http.post("/v1/states", json={"model": "tiny", "input": "A long text. "}).json()
    assert read["tokens"] == 13 and read["model"] == "tiny"
    ask = partial(client.completions.create, model="tiny", max_tokens=10, temperature=0)
    from_state = ask(prompt="Go on", extra_body={"state": read["id"]})
    assert from_state.choices[0].text == ask(prompt="A long text. Go on").choices[0].text
    assert from_state.usage.prompt_tokens == 5
    assert ask(prompt="", extra_body={"state": read["id"]}).choices[0].text
    more = http.post("/v1/states", json={"model": "tiny", "input": "Go on", "state": read["id"]}).json()
    assert ask(prompt="", extra_body={"state": more["id"]}).choices[0].text == from_state.choices[0].text
    http.post("/v1/states", json={"model": "tiny", "input": "another"})  # the third: there is room for two
    assert http.get(f"/v1/states/{read['id']}").status_code == 404
    assert http.get(f"/v1/states/{more['id']}").json()["tokens"] == 18
    assert http.delete(f"/v1/states/{more['id']}").json()["deleted"]
    gone = http.post("/v1/completions", json={"model": "tiny", "prompt": "a", "state": more["id"]})
    assert gone.status_code == 404 and gone.json()["error"]["code"] == "no_state"


def test_annotate(http: httpx.Client) -> None:
    forms = [
        {"csv": "mail,price\na@b.de,1.5\nc@d.org,2\n"},
        {"columns": {"mail": ["a@b.de", "c@d.org"], "price": [1.5, 2]}},
        {"rows": [{"mail": "a@b.de", "price": 1.5}, {"mail": "c@d.org", "price": 2}]},
    ]
    results = [http.post("/v1/annotate", json={"tables": [{"name": "shop", **form}]}) for form in forms]
    assert [r.status_code for r in results] == [200] * 3
    tables = [r.json()["tables"][0] for r in results]
    assert results[0].json()["schema"] == "aegir.result/1"
    assert [c["name"] for c in tables[0]["columns"]] == ["mail", "price"]
    types = [[c["type"] for c in table["columns"]] for table in tables]
    assert types[0] == types[1] == types[2]
    plain = http.post("/v1/annotate", content=forms[0]["csv"], headers={"Content-Type": "text/csv"})
    assert [c["type"] for c in plain.json()["tables"][0]["columns"]] == types[0]
    assert "/tmp" not in plain.text


def test_models_health_and_metrics(http: httpx.Client, client: Any, address: str) -> None:
    assert [m.id for m in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").aegir["tokenizer"] == "bytes"
    with pytest.raises(openai.NotFoundError, match="expected a model of tiny"):
        client.completions.create(model="other", prompt="x")
    assert httpx.get(f"{address}/health", timeout=60).json()["status"] == "ok"  # without a key
    before = http.get("/metrics").text
    client.completions.create(model="tiny", prompt="x", max_tokens=3, temperature=0)
    after = http.get("/metrics").text
    name = 'aegir_requests_total{path="/v1/completions",status="200"}'
    value = [dict(line.rsplit(" ", 1) for line in t.splitlines() if line[0] != "#") for t in (before, after)]
    assert int(value[1][name]) == int(value[0].get(name, 0)) + 1
    assert value[1]["aegir_answers_open"] == "0"
    assert int(value[1]['aegir_request_seconds_bucket{le="+Inf"}']) == int(
        value[1]["aegir_request_seconds_count"]
    )


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {KEY}", KEY, "Bearer", "Bearer \xff"])
def test_a_wrong_key_is_refused_everywhere(address: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for path in ("/v1/models", "/metrics", "/v1/completions", "/nothing"):
        found = httpx.post(f"{address}{path}", headers=headers, json={}, timeout=60)
        assert found.status_code == 401
        assert found.json()["error"]["code"] == "invalid_api_key"


def test_keys_of_any_length_are_compared_in_constant_time(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(gate, "hmac", SimpleNamespace(compare_digest=compare))
    keys = ["", "a", KEY[:-1], KEY + "x", "b" * len(KEY), "c" * 5000]
    for key in keys:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        assert httpx.get(f"{address}/v1/models", headers=headers).status_code == 401
    assert len(compared) == len(keys)
    assert {len(side) for pair in compared for side in pair} == {32}  # digests: no length shows


LOCAL = ["localhost", "localhost:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "app.localhost"]
ELSEWHERE = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "0.0.0.0:8000", "10.0.0.1", ""]


def test_other_names_are_refused_on_loopback(engine: Engine) -> None:
    """DNS rebinding: a page's own host name is made to point to this machine."""
    with running(Host({"tiny": engine}), key=None, local=True) as address:
        for host in LOCAL:
            assert httpx.get(f"{address}/v1/models", headers={"Host": host}).status_code == 200, host
            headers = {"Origin": f"http://{host}"}
            assert httpx.get(f"{address}/v1/models", headers=headers).status_code == 200, host
        for host in ELSEWHERE:
            for headers in ({"Host": host}, {"Origin": f"https://{host}"}, {"Origin": "null"}):
                found = httpx.post(f"{address}/v1/completions", headers=headers, content=b"{}")
                assert found.status_code == 403, headers
                assert found.json()["error"]["code"] == "host_not_allowed"


def test_it_is_checked_where_no_key_is_asked_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **_: made.append(app))
    serve(host)
    serve(host, api_key=KEY)
    status = [TestClient(app, base_url="http://evil.example").get("/health").status_code for app in made]
    assert status == [403, 200]


def test_another_address_needs_a_key(host: Host) -> None:
    for address in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        with pytest.raises(InputError, match="expected an API key"):
            serve(host, address=address)


def test_limits(http: httpx.Client, host: Host) -> None:
    ask = partial(http.post, "/v1/completions")
    large = ask(json={"model": "tiny", "prompt": "x" * 200_000})
    assert large.status_code == 413 and large.json()["error"]["code"] == "request_too_large"
    pieces = (b"x" * 10_000 for _ in range(30))  # no Content-Length
    assert ask(content=pieces, headers={"Content-Type": "application/json"}).status_code == 413
    assert ask(content=b"x" * 900_000).status_code == 413
    long = ask(json={"model": "tiny", "prompt": "x" * 3001})
    assert long.status_code == 400 and long.json()["error"]["code"] == "context_length_exceeded"
    assert ask(json={"model": "tiny", "prompt": "x", "max_tokens": 201}).status_code == 400
    assert ask(json={"model": "tiny", "prompt": "x", "n": 65}).status_code == 400
    taken = host.load.take(60)
    try:
        full = ask(json={"model": "tiny", "prompt": "x", "n": 5})
        assert full.status_code == 429 and full.headers["Retry-After"] == "1"
        assert full.json()["error"]["type"] == "rate_limit_error"
        assert ask(json={"model": "tiny", "prompt": "x", "n": 4}).status_code == 200
    finally:
        host.load.give_back(taken)
    assert host.load.taken == 0


def test_clients_at_once_get_what_each_gets_alone(client: Any, host: Host) -> None:
    def ask(i: int) -> str:
        asked = {"model": "tiny", "prompt": f"client {i}", "max_tokens": 24, "temperature": 0.8, "seed": i}
        found: str = client.completions.create(**asked).choices[0].text
        return found

    alone = [ask(i) for i in range(16)]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(ask, range(16)))
    assert together == alone and len(set(alone)) > 8
    assert host.load.taken == 0


def test_a_client_that_goes_frees_its_place(http: httpx.Client, host: Host, engine: Engine) -> None:
    asked = {"model": "tiny", "prompt": "x", "max_tokens": 200, "temperature": 1.0, "seed": 1, "n": 40}
    for stream in (True, False):
        body = json.dumps({**asked, "stream": stream}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((http.base_url.host, int(http.base_url.port or 0))) as connection:
            connection.sendall(head.encode() + body)
            deadline = time.monotonic() + 120
            while not host.load.taken and time.monotonic() < deadline:
                time.sleep(0.002)
        deadline = time.monotonic() + 120
        while (host.load.taken or engine.scheduler.busy) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert host.load.taken == 0 and engine.scheduler.busy == 0


def test_a_request_that_does_not_arrive_is_given_up(engine: Engine) -> None:
    slow = Host({"tiny": engine}, limits=Limits(body_seconds=1))
    with running(slow, key=None) as address:
        where = httpx.URL(address)
        with socket.create_connection((where.host, int(where.port or 0)), timeout=120) as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert httpx.get(f"{address}/v1/models", timeout=60).status_code == 200  # no key, none asked for
