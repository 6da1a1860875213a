"""`hybrid verify`: whether a provider does what its worker claims, shown by asking it."""
