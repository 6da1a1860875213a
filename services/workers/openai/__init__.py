"""Workers for the OpenAI API and every server that speaks it."""
