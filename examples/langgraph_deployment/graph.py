"""The graph that `langgraph dev` and a LangGraph server serve; `langgraph.json` names it.

For a vocabulary or weights of one's own make the graph here::

    from aegir_dspy import Swarm
    from aegir_dspy.adapters.langgraph_app import swarm_graph

    graph = swarm_graph(Swarm(vocabulary="my_types.json"), roots=[Path("/data")], review_below=0.5)
"""

from aegir_dspy.adapters.langgraph_app import make_graph

__all__ = ["make_graph"]
