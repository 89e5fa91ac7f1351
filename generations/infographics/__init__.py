"""Infographics: writes the prompts of a batch from a topic and, optionally, the article of a web page."""
