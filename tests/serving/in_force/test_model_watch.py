"""A service follows the registry's aliases, whatever a look at it comes to."""

import logging
import threading
from collections.abc import Iterator

import pytest

from serving.in_force.model_watch import CHAMPION, LOG, ModelWatch
from serving.in_force.scorer import ChampionModel
from tests.serving.shadow_desk import MODEL, KnownModels, a_model


class Fragile(KnownModels):
    """A registry with a bug, while it is broken: at the question or at the loading."""

    def __init__(self) -> None:
        super().__init__(a_model("1"), a_model("2"))
        self.aliases[CHAMPION] = "1"
        self.broken = ""

    def version_under(self, model_name: str, alias: str) -> str | None:
        if self.broken == "question":
            raise ZeroDivisionError("a bug")
        return super().version_under(model_name, alias)

    def load(self, model_name: str, version: str) -> ChampionModel:
        if self.broken == "loading":
            raise ZeroDivisionError("a bug")
        return super().load(model_name, version)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    LOG.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger=LOG.name):
        yield caplog
    LOG.removeHandler(caplog.handler)


def a_watch(registry: Fragile, poll_seconds: float = 60.0) -> ModelWatch:
    return ModelWatch(registry, MODEL, poll_seconds=poll_seconds, on_change=lambda: None)


def version_of(watch: ModelWatch) -> str | None:
    model = watch.in_force.model
    return None if model is None else model.version


def test_a_question_that_fails_leaves_the_last_champion_in_force(
    logged: pytest.LogCaptureFixture,
) -> None:
    registry = Fragile()
    watch = a_watch(registry)
    registry.broken = "question"
    watch.look()
    assert watch.in_force.technical_reason == "looking into the model registry failed: ZeroDivisionError"
    registry.broken = ""
    watch.look()
    registry.aliases[CHAMPION], registry.broken = "2", "question"
    watch.look()
    assert version_of(watch) == "1"
    registry.broken = ""
    watch.look()
    assert version_of(watch) == "2"
    failed = {id(record) for record in logged.records if record.message == "model_look_failed"}
    assert len(failed) == 2


def test_a_champion_whose_loading_fails_leaves_no_model_until_it_can_be_loaded() -> None:
    registry = Fragile()
    watch = a_watch(registry)
    watch.look()
    registry.aliases[CHAMPION], registry.broken = "2", "loading"
    watch.look()
    assert version_of(watch) is None
    assert watch.in_force.technical_reason == f"{MODEL} 2 cannot be read: ZeroDivisionError"
    registry.broken = ""
    watch.look()
    assert version_of(watch) == "2"


def test_a_look_that_fails_does_not_end_the_looking() -> None:
    failed, recovered = threading.Event(), threading.Event()

    class Noted(Fragile):
        def version_under(self, model_name: str, alias: str) -> str | None:
            if self.broken:
                failed.set()
            return super().version_under(model_name, alias)

    registry = Noted()
    watch = ModelWatch(
        registry,
        MODEL,
        poll_seconds=0.01,
        on_change=lambda: recovered.set() if version_of(watch) == "2" else None,
    )
    watch.start()
    registry.broken = "question"
    assert failed.wait(20)
    registry.aliases[CHAMPION] = "2"
    registry.broken = ""
    assert recovered.wait(20)
    watch.stop()
