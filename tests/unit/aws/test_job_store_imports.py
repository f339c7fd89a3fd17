import subprocess
import sys

IS_IMPORTED = "import rune.aws.job_store, sys; print('rune.jobs.transitions' in sys.modules)"


def test_job_store_is_imported_without_the_outcomes_of_steps() -> None:
    """The API imports the store at each cold start, and ends a job only for a cancel."""
    told = subprocess.run(  # noqa: S603 our own words
        [sys.executable, "-c", IS_IMPORTED],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.strip() == "False"
