"""What has been learned from what happened: which prompts are cached where, and how fast everyone is. Pure."""
