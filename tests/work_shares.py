"""Which files of tests one worker of `pytest -n` takes together: what they share is then made only once."""

from xdist.scheduler import LoadFileScheduling

_SHARE_OF = {
    f"tests/{name}.py": share
    for share, names in {
        "the server of the fixture shop": (
            "serving/http/test_http_backup",
            "serving/http/test_http_concurrency",
            "serving/http/test_http_events",
            "serving/http/test_http_one_person",
            "serving/http/test_http_score",
            "serving/http/test_replay",
        ),
        "the model of the fixture trained": (
            "training/test_champion_history",
            "training/test_monitoring",
            "training/test_promotion",
            "training/test_score_on_worse_histories",
            "training/test_segment_attributes",
            "training/test_train_invoice_eligibility",
            "training/test_tuning",
            "training/test_validation_report",
        ),
    }.items()
    for name in names
}


class WorkShares(LoadFileScheduling):
    """File by file, except that the files of a share count as one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return _SHARE_OF.get(file, file)
