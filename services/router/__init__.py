"""The router: decides which worker serves the next attempt, and whether there is a next attempt."""
