"""The model room: one client for OpenAI-compatible endpoints, how one is found, what a call used.

It knows nothing of turns, tasks or tools' meaning, and imports ``openai`` only when a request is made.
"""
