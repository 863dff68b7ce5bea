"""The test suite, and once more, each alone, the few tests that failed in the crowd.

    python scripts/run_tests.py -n 6        # whatever pytest takes

Hundreds of these tests start real processes and wait for them by a clock, six at a time on a machine that others may load
too. A test that fails only then tells of the machine; one that fails alone tells of us. So at most `FEW` are run again, one
after another, each file's in a process of its own, where nothing is left of another's failure; and they are named at the end
even if they pass then: each is a race of its own, in the test or in what it tests, to be mended. What a whole file's tests
stand on and could not be set up is one failure, however many tests it takes with it. More than `FEW` failures, an error of
pytest itself and an interruption end the run at once.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

FEW = 5


class Failed:
    """Notes which tests failed, wherever they ran, and from how many causes: one for each test, or one for a file's set-up."""

    def __init__(self) -> None:
        """None yet."""
        self.names: list[str] = []
        self.causes: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test has ended."""
        if report.failed:
            self.causes.add(report.nodeid.partition("::")[0] if report.when == "setup" else report.nodeid)
            if report.nodeid not in self.names:
                self.names.append(report.nodeid)

    def by_file(self) -> list[list[str]]:
        """The names, those of one file together."""
        files: dict[str, list[str]] = {}
        for name in self.names:
            files.setdefault(name.partition("::")[0], []).append(name)
        return list(files.values())


def _alone(names: list[str]) -> int:
    """The exit code of these tests in a pytest of their own."""
    code = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *names], check=False).returncode
    # One that was killed has failed too.
    return code if code >= 0 else int(pytest.ExitCode.INTERNAL_ERROR)


def main(arguments: list[str]) -> int:
    """The exit code of pytest; 0 too if what failed passed alone."""
    failed = Failed()
    code = int(pytest.main(arguments, plugins=[failed]))
    if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed.causes) <= FEW:
        return code
    print(f"\nonce more, alone: {', '.join(failed.names)}", flush=True)
    again = max(_alone(names) for names in failed.by_file())
    if again == 0:
        print(f"\n{len(failed.names)} failed beside others and passed alone; mend what they wait for:", flush=True)
        print("\n".join(f"  {name}" for name in failed.names), flush=True)
    return again


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
