"""From a teacher and a list of sentences to a finished voice. Nothing else imports this package."""
