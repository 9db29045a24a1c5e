"""A LiteLLM Router with a local model beside a remote one: what is easy stays here.

Run: python examples/litellm_router.py [WEIGHTS]
Without OPENAI_API_KEY the remote model is a stand-in that always says the same.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from aegir_dspy.adapters import litellm_provider


def main() -> None:
    weights = sys.argv[1] if len(sys.argv) > 1 else "columns"
    litellm_provider.register({"local": weights})
    import litellm

    remote: dict[str, Any] = {"model": "openai/gpt-5-mini"}
    if "OPENAI_API_KEY" not in os.environ:
        remote["mock_response"] = "(the remote model's answer)"
    router = litellm.Router(
        model_list=[
            {"model_name": "small", "litellm_params": {"model": "aegir/local"}},
            {"model_name": "large", "litellm_params": remote},
        ],
        fallbacks=[{"small": ["large"]}],
    )
    chat = [{"role": "user", "content": "Is +49 731 1610 a phone number or a price?"}]
    schema = {"enum": ["phone number", "price"]}
    form = {"type": "json_schema", "json_schema": {"name": "kind", "schema": schema}}
    here = router.completion(model="small", messages=chat, response_format=form, temperature=0)
    print("small:", here.choices[0].message.content)
    print("large:", router.completion(model="large", messages=chat).choices[0].message.content)


if __name__ == "__main__":
    main()
