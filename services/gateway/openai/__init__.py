"""The OpenAI wire format: requests, answers and errors as bytes. Pure but for the face that serves them."""
