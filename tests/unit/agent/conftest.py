"""Pretended GPUs for the tests of this folder; skipped without a C compiler."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from gpu_machine import Machine, built


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, compiled once."""
    try:
        return built(tmp_path_factory.mktemp("nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def machine(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with two GPUs, which this process sees as well as others."""
    found = Machine.create(tmp_path, library, gpus=2)
    # The binding asks the loader for libnvidia-ml.so.1: what is loaded already under this name is taken.
    ctypes.CDLL(str(library))
    monkeypatch.setitem(os.environ, "FAKE_NVML_STATE", str(found.file))
    return found
