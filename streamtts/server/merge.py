"""The metrics of several workers as one text for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping


def merged(texts: Mapping[int, str]) -> str:
    """Every sample of every worker, told apart by a label `worker`.

    Labels and not sums: when a worker has been started again, its counters begin again, which
    Prometheus can only tell for each on its own.

    Args:
        texts: number of a worker -> what it shows, in Prometheus's text format.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}
    for number, text in texts.items():
        heads, samples = families.setdefault("", ([], []))
        for line in text.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                name = line.split(" ", 3)[2]
                heads, samples = families.setdefault(name, ([], []))
                kind = line[:7]
                if not any(head.startswith(kind) for head in heads):
                    heads.append(line)
            elif line and not line.startswith("#"):
                samples.append(_labelled(line, number))
    lines = [line for heads, samples in families.values() for line in (*heads, *samples)]
    return "".join(f"{line}\n" for line in lines)


def _labelled(sample: str, number: int) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{worker="{number}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{number}"}} {value}'
