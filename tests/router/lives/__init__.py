"""Random lives of the decision core: gateways, workers, faults and changes, and what holds whatever happens."""
