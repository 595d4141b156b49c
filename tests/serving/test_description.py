"""Requests that a fuzzer makes up from the service's own description."""

from __future__ import annotations

import pytest
import requests

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")


CALM = hypothesis.settings(
    max_examples=15, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip


def test_nothing_that_the_description_allows_is_a_mistake_of_ours(service):
    description = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    asked = set()
    for operation in (found.ok() for found in description.get_all_operations()):

        @CALM
        @hypothesis.given(operation.as_strategy())
        def ask(case):
            answer = case.call(timeout=60)
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)
            assert answer.status_code < 400 or {"error", "request_id"} <= set(answer.json())

        ask()
        asked.add(operation.label)
    assert {"POST /predict", "POST /segment", "GET /jobs/{job_id}", "GET /health"} <= asked
    assert requests.get(f"{service.url}/health", timeout=9).json()["status"] == "ok"
