"""Which rule places requests better, by simulation: `adaptive` beside published rules, on what nothing was tuned on."""
