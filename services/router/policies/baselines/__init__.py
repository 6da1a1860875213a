"""Other routers' published rules, as strategies: what ours is measured against. Not for the configuration. Pure.

Each is written anew from the source that its docstring names, with the defaults of that source. Where a rule needs a
figure that the published system measures by itself (requests in flight, prompt tokens that wait, cached prefixes), it
gets the one that all strategies get: what differs between two runs is then the rule alone.
"""
