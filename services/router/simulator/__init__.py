"""A discrete-event simulator of inference fleets, in which the decision core decides as it does in production."""
