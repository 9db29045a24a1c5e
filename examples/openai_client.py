"""OpenAI's own client on a local server: a stream, an answer to a schema, vectors, a text read once, a table.

Start `aegir serve` in another terminal, then run: python examples/openai_client.py [BASE_URL]
The default model is the shipped specialist for columns; give `aegir serve --model FILE` one that talks.
"""

from __future__ import annotations

import os
import sys

import httpx
from openai import OpenAI

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["city", "person", "product"]}, "sure": {"type": "boolean"}},
    "required": ["kind", "sure"],
    "additionalProperties": False,
}


def main() -> None:
    base = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    key = os.environ.get("AEGIR_API_KEY", "none")
    client = OpenAI(base_url=f"{base}/v1", api_key=key)
    model = client.models.list().data[0].id
    chat = [{"role": "user", "content": "What is Ulm?"}]

    for event in client.chat.completions.create(model=model, messages=chat, max_tokens=40, stream=True):
        print(event.choices[0].delta.content or "", end="", flush=True)
    print()

    form = {"type": "json_schema", "json_schema": {"name": "kind", "schema": SCHEMA}}
    answer = client.chat.completions.create(model=model, messages=chat, max_tokens=40, response_format=form)
    print(answer.choices[0].message.content)

    one, other = (
        entry.embedding for entry in client.embeddings.create(model=model, input=["Ulm", "Bonn"]).data
    )
    print("likeness of Ulm and Bonn:", round(sum(x * y for x, y in zip(one, other, strict=True)), 3))

    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=120) as http:
        text = "Ulm is a city on the Danube. " * 20
        state = http.post("/v1/states", json={"model": model, "input": text}).raise_for_status().json()
        for question in ("Which river?", "Which city?"):
            found = client.completions.create(
                model=model, prompt=question, max_tokens=20, extra_body={"state": state["id"]}
            )
            print(question, "read", found.usage.prompt_tokens, "tokens, not", state["tokens"])

        table = {"name": "cities", "csv": "name,phone\nUlm,+49 731 1610\nBonn,+49 228 770\n"}
        result = http.post("/v1/annotate", json={"tables": [table]}).raise_for_status().json()
        for column in result["tables"][0]["columns"]:
            print(column["name"], "→", column["type"])


if __name__ == "__main__":
    main()
