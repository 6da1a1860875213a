"""The Gemini API as a provider."""
