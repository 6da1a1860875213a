"""Pure knowledge about the inference vocabulary that more than one service needs."""
