"""The bare skeleton of the mesh: a paced worker, a session, a gateway, Envoy, and nothing else.

No router, no ledger, no deadlines, no credit, no retries, no metrics, no logs. What the mesh costs beyond it is the
price of those.
"""
