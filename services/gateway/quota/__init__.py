"""What a key may use: requests, tokens, slots and money."""
