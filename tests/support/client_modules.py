"""Modules of clients/, which import their siblings by plain name as scripts do."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

CLIENTS = Path(__file__).resolve().parents[2] / "clients"


def client_module(name: str) -> ModuleType:
    """Imports clients/NAME.py once, with its folder on the path meanwhile."""
    sys.path.insert(0, str(CLIENTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(CLIENTS))
