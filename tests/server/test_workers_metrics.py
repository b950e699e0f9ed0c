"""One text for Prometheus from those of several workers."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from support.fake_service import FakeService

from streamtts.server.merge import merged
from streamtts.server.metrics import Metrics


def shown(lag_s: float) -> str:
    metrics = Metrics()
    metrics.watch(FakeService())  # type: ignore[arg-type]
    metrics.observe_lag(lag_s)
    return metrics.render().decode()


def test_every_sample_names_its_worker_and_is_otherwise_as_it_was() -> None:
    texts = {0: shown(0.001), 3: shown(0.3)}
    families = list(text_string_to_metric_families(merged(texts)))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    before = {
        (str(number), sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for number, text in texts.items()
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    after = {
        (
            sample.labels.pop("worker"),
            sample.name,
            tuple(sorted(sample.labels.items())),
            sample.value,
        )
        for family in families
        for sample in family.samples
    }
    assert after == before
    assert len(after) > 60


def test_types_and_help_come_once_and_before_their_samples() -> None:
    text = merged({0: shown(0.1), 1: shown(0.1)})
    own = shown(0.1)
    for kind in ("# HELP ", "# TYPE "):
        ours = [line for line in text.splitlines() if line.startswith(kind)]
        assert ours == [line for line in own.splitlines() if line.startswith(kind)]


def test_labels_with_braces_and_spaces() -> None:
    text = 'a{x="{ y } z"} 1\nb 2.5\nc{} 3\n'
    assert merged({7: text}) == (
        'a{worker="7",x="{ y } z"} 1\nb{worker="7"} 2.5\nc{worker="7",} 3\n'
    )
    assert len(list(text_string_to_metric_families(merged({7: text})))) == 3


def test_nobody_answered() -> None:
    assert merged({}) == ""
