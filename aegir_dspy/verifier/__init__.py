"""The verifier R(O, I): gates, components, nulls and the score record. No model, no torch."""
