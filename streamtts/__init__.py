"""streamtts: a streaming text-to-speech server. Importing it loads neither torch nor asyncio."""

__version__ = "0.1.0"
