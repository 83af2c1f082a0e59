from __future__ import annotations

import pytest

from tests.models.loopback import Loopback
from tests.tiny import build_tiny_model


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CAI_CACHE", str(tmp_path_factory.getbasetemp() / "cai-cache"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def loopback():
    server = Loopback()
    with server:
        yield server
