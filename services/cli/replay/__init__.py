"""`hybrid replay`: what the ledger has of the last days, played again in the simulator under other strategies."""
