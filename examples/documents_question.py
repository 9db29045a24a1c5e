"""Ask a question of many documents: each is read once, the primary answers from the fused state.

All are read in one batch; the state is kept, so a second question costs no second reading. The weights
that ship are trained on tables: bring an RWKV-7 checkpoint trained on text, for example a published one.

Run: python examples/documents_question.py CHECKPOINT QUESTION FILE...
"""

from __future__ import annotations

import sys
from pathlib import Path

import aegir_dspy as aegir


def main(checkpoint: str, question: str, *files: str) -> None:
    documents = [Path(file).read_text(encoding="utf-8", errors="replace") for file in files]
    swarm = aegir.Swarm(
        "documents: list[str], question -> answer",
        shard="documents",
        specialists=[aegir.Specialist("document -> notes", checkpoint=checkpoint, name="reader")],
        primary=checkpoint,
    )
    out = swarm(documents=documents, question=question)
    print(out.answer)
    print(
        f"{out.usage.agents} documents, {out.usage.tokens_read} tokens, {out.usage.seconds} s",
        file=sys.stderr,
    )

    again = swarm.primary(question=f"In one word: {question}", latent=out)
    print(again.answer)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
