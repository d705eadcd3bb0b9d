"""Under a final name there is what the report names and nothing else; outputs are not in each other's way."""

import pyarrow.parquet as pq
import pytest

from consent.pipeline import Options, filter_records
from consent.pipeline.errors import PipelineError
from tests.support.record_files import RECORDS, given, stop_after


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def settled(folder):
    """Without the third file, which the other run is writing meanwhile."""
    return [name for name in names(folder) if "day=2" not in name]


def test_resume__with_fewer_files__nothing_of_the_others_gets_a_final_name(snapshot, tmp_path, data):
    stop_after(2, data, **given(snapshot, tmp_path))
    for what in ("allowed", "denied"):  # of the third, as if the run had been killed
        (tmp_path / f"{what}.partial" / "day=2").mkdir(exist_ok=True)
        (tmp_path / f"{what}.partial" / "day=2" / "part.parquet").write_bytes(b"half")
    (data / "day=0" / "part.parquet").unlink()
    (data / "day=2" / "part.parquet").unlink()
    report = filter_records(data, **given(snapshot, tmp_path), options=Options(resume=True))
    assert report.read == 200
    for what in ("allowed", "denied"):
        assert names(tmp_path / what) == [each["name"] for each in report.outputs[what]] == ["day=1/part.parquet"]
        assert [path.name for path in (tmp_path / what).iterdir()] == ["day=1"]


@pytest.mark.parametrize("what", ["allowed", "denied"])
@pytest.mark.parametrize("resume", [False, True])
def test_partial_folder__of_no_run_or_another__refused_and_it_stays(snapshot, tmp_path, data, what, resume):
    (tmp_path / f"{what}.partial").mkdir()
    (tmp_path / f"{what}.partial" / "old.parquet").write_bytes(b"old")
    with pytest.raises(PipelineError, match="delete it") as error:
        filter_records(data, **given(snapshot, tmp_path), options=Options(resume=resume))
    assert error.value.exit_code == 2
    assert (tmp_path / f"{what}.partial" / "old.parquet").read_bytes() == b"old"
    assert not any((tmp_path / name).exists() for name in ("allowed", "denied", "report.json"))


@pytest.mark.parametrize("what", ["allowed", "denied"])
@pytest.mark.parametrize("resume", [False, True])
def test_partial_folder__of_a_run_that_is_still_writing__said_so_and_nobody_told_to_delete_it(
    snapshot, tmp_path, data, what, resume
):
    """Another run has the same place for one of its outputs."""
    ours = given(snapshot, tmp_path)
    theirs = {**given(snapshot, tmp_path / "other"), what: ours[what]}

    def meanwhile(done, _all):
        if done == 2:
            before = settled(tmp_path)
            with pytest.raises(PipelineError, match="Another run is writing") as error:
                filter_records(data, **ours, options=Options(resume=resume))
            assert error.value.exit_code == 2 and "delete" not in str(error.value)
            assert settled(tmp_path) == before

    (tmp_path / "other").mkdir()
    assert filter_records(data, **theirs, progress=meanwhile).read == RECORDS
    assert names(ours[what]) == [f"day={n}/part.parquet" for n in range(3)]


def test_resume__by_a_pattern_that_finds_what_is_written__exit_2(snapshot, tmp_path, data):
    pattern, places = data / "*[.=]*", {what: data / what for what in ("allowed", "denied")}
    stop_after(2, pattern, **given(snapshot, tmp_path, **places))
    before = names(tmp_path)
    with pytest.raises(PipelineError, match="that has not ended") as error:
        filter_records(pattern, **given(snapshot, tmp_path, **places), options=Options(resume=True))
    assert error.value.exit_code == 2 and names(tmp_path) == before
    assert filter_records(data / "day=*", **given(snapshot, tmp_path, **places), options=Options(resume=True)).read


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ({"denied": "allowed/denied"}, "is inside"),
        ({"allowed": "denied/allowed"}, "is inside"),
        ({"report": "allowed/report.json"}, "is inside"),
        ({"report": "denied/a/report.json"}, "is inside"),
        ({"report": "allowed.partial/report.json"}, "is inside"),
        ({"denied": "allowed.partial"}, "same name"),
        ({"allowed": "denied.partial"}, "same name"),
        ({"denied": "data/../allowed"}, "same name"),
        ({"denied": "link/allowed"}, "same name"),
        ({"allowed": "data/allowed"}, "which is filtered"),
        ({"denied": "data/day=0/denied"}, "which is filtered"),
        ({"allowed": "link/data/allowed"}, "which is filtered"),
    ],
)
def test_outputs__in_each_others_way__exit_2_and_nothing_left(snapshot, tmp_path, data, places, told):
    (tmp_path / "link").symlink_to(".")
    before = names(tmp_path)
    with pytest.raises(PipelineError, match=told) as error:
        filter_records(data, **given(snapshot, tmp_path, **{what: tmp_path / path for what, path in places.items()}))
    assert error.value.exit_code == 2
    assert names(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "link"]


def test_outputs__beside_what_is_filtered_by_a_pattern__written(snapshot, tmp_path, data):
    """Only a folder would be filtered with what is in it."""
    pq.write_table(pq.read_table(data / "day=0" / "part.parquet"), data / "a.parquet")
    places = {what: data / what for what in ("allowed", "denied")}
    assert filter_records(data / "*.parquet", **given(snapshot, tmp_path, **places)).read == 200
