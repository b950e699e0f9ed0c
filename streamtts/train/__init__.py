"""From a teacher and a list of sentences to a voice. Nothing that serves imports this package."""
