"""What a process counts in its memory is written in the form that prometheus_client reads."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.mmap_dict import MmapedDict

from serving.process.metric_files import MetricFiles, ValuesInMemory

SERIES = st.dictionaries(
    st.text(max_size=300), st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))
)


@given(series=SERIES)
def test_a_written_file_says_what_one_that_is_mapped_into_memory_would_say(
    series: dict[str, tuple[float, float]],
) -> None:
    with TemporaryDirectory() as folder:
        mapped = MmapedDict(str(Path(folder) / "mapped.db"))
        ours = ValuesInMemory(str(Path(folder) / "counter_1.db"))
        try:
            for values in (mapped, ours):
                for key, (value, timestamp) in series.items():
                    assert values.read_value(key) == (0.0, 0.0)
                    values.write_value(key, value, timestamp)
            ours.write()
            written = MmapedDict.read_all_values_from_file(str(Path(folder) / "counter_1.db"))
            expected = list(mapped.read_all_values())
            assert [(key, value, at) for key, value, at, _ in written] == expected
            assert [(key, value, at) for key, value, at, _ in ours.now()] == expected
        finally:
            mapped.close()
            ours.close()


def test_a_file_that_cannot_be_written_is_told_once_and_written_once_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gone"
    ours = ValuesInMemory(str(folder / "counter_1.db"))
    try:
        ours.write_value("decisions", 3.0, 0.0)
        files = MetricFiles()
        files.write()
        files.write()
        assert [record.msg for record in caplog.records].count("metrics_not_written") == 1
        folder.mkdir()
        files.write()
        assert [path.name for path in folder.iterdir()] == ["counter_1.db"]
    finally:
        ours.close()
