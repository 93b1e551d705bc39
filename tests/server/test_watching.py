"""What whoever keeps the server running gets to see: health, numbers, log lines."""

import json
import logging
import os
import signal
from contextlib import contextmanager, suppress
from threading import Event, Thread

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from fedshow import rpc
from fedshow.joining import JoinRequest
from fedshow.v1.concepts_pb2 import WithdrawConceptRequest
from fedshow.v1.releases_pb2 import ListReleasesRequest
from fedshow.wire import JOIN_PATH
from fedshow_server.services.tracing import address_of
from fedshow_server.upkeep.logs import HIDDEN, JsonLines, TextLines, without_secrets
from tests.stage.processes import children

TOKEN = "s3" + "k" * 41


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token {TOKEN} is wrong", TOKEN),
        (f'{{"secret": "{TOKEN}"}}', TOKEN),
        (f"fedshow-join:{'eyJ' * 40}", "eyJeyJ"),
        ("postgresql://me:hunter2@host/db", "hunter2"),
        ("authorization: Bearer whatever", "whatever"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, secret):
    assert secret not in without_secrets(text)
    assert HIDDEN in without_secrets(text)


def test_digests_stay_readable():
    text = f"release 0123456789abcdef, file {'ab' * 32}, run 1234567890123456789"
    assert without_secrets(text) == text


def test_traceback_shows_no_secret():
    try:
        raise ValueError(TOKEN)
    except ValueError as error:
        record = logging.LogRecord("x", 40, "", 0, "no", None, (type(error), error, None))
    for form in (JsonLines(), TextLines()):
        said = form.format(record)
        assert "ValueError" in said
        assert TOKEN not in said


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.1:55", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:55", "2001:db8::1"),
        ("unix:/x", "unix:/x"),
    ],
)
def test_addresses_of_grpc(peer, host):
    assert address_of(peer) == host


@pytest.fixture(scope="module")
def watched(tools, tmp_path_factory):
    """A server that logs for machines."""
    environment = {
        "FEDSHOW_SERVER_LOG_FORMAT": "json",
        "FEDSHOW_SERVER_LOG_LEVEL": "debug",
        "FEDSHOW_SERVER_METRICS_TOKEN": "scrape-me",
    }
    found = tools.Server(
        tools.make_data(tmp_path_factory.mktemp("watched") / "data"), environment=environment
    )
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="module")
def anna(watched, joined):
    """Its node."""
    return joined(watched, "anna")


def lines(server):
    text = (server.data / "server.log").read_text()
    return [json.loads(line) for line in text.splitlines()], text


def lines_of(server, request):
    return [line for line in lines(server)[0] if line.get("request") == request]


def test_answers_and_log_lines_tell_the_call(watched, anna, tools):
    with anna.calls() as calls:
        _, call = calls.releases.ListReleases.with_call(ListReleasesRequest(), timeout=60)
        good = dict(call.trailing_metadata())["x-request-id"]
        with pytest.raises(grpc.RpcError) as failed:
            calls.concepts.WithdrawConcept(WithdrawConceptRequest(name="nobody"), timeout=60)
        bad = dict(failed.value.trailing_metadata())["x-request-id"]
        assert "no concept" in str(rpc.typed(failed.value))  # its type came, too
    with watched.http() as client:
        asked = client.get("/no/such/thing").headers["x-request-id"]
    assert len({good, bad, asked}) == 3
    (line,) = tools.eventually(lambda: lines_of(watched, good))
    assert (line["who"], line["address"], line["what"]) == (
        "node anna",
        "127.0.0.1",
        "ListReleases",
    )
    (line,) = tools.eventually(lambda: lines_of(watched, bad))
    assert "NOT_FOUND" in line["message"]
    assert line["level"] == "info"
    (line,) = tools.eventually(lambda: lines_of(watched, asked))
    assert "404" in line["message"]


def test_refused_calls_are_in_log_and_audit_and_secrets_in_neither(watched, anna, joined, tools):
    invited = watched.invite("erna")
    wrong = "w" * 43
    with watched.http() as client:
        body = JoinRequest(secret=wrong, public_key=tools.openssh_line(anna.key)).model_dump()
        refused = client.post(JOIN_PATH, json=body)
    assert refused.status_code == 403
    with anna.calls(token="t" * 43) as calls, pytest.raises(grpc.RpcError):
        calls.releases.ListReleases(ListReleasesRequest(), timeout=60)
    store = watched.store()
    entries = store.audit.last(1000)
    store.close()
    by_call = {entry.call: entry for entry in entries}
    entry = by_call[refused.headers["x-request-id"]]
    assert (entry.action, entry.who, entry.address) == ("door.refused", "unknown", "127.0.0.1")
    assert entry.subject == f"POST {JOIN_PATH}"
    assert "not from this server" in entry.details["reason"]
    assert any(entry.subject == "ListReleases" for entry in entries)
    parsed, text = lines(watched)
    assert parsed
    for secret in (wrong, "t" * 43, anna.reply.token, anna.request.secret, invited.secret):
        assert secret not in text
        assert secret not in str(entries)


def numbers(client):
    answer = client.get("/metrics", headers={"authorization": "Bearer scrape-me"})
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_what_happens(watched, anna, tools):
    with watched.http() as client:
        before = numbers(client)
        with anna.calls() as calls:
            calls.releases.ListReleases(ListReleasesRequest(), timeout=60)
        client.get("/no/such/thing/ever")
        client.request("PROPFIND", "/healthz")
        client.delete("/api/drawings/nobodys")
        done = ("fedshow_calls_total", "OK", "ListReleases")
        tools.eventually(lambda: numbers(client).get(done) == before.get(done, 0) + 1)
        strange = ("fedshow_calls_total", "405", "no route")
        tools.eventually(lambda: numbers(client).get(strange))
        found = numbers(client)
    assert found[("fedshow_call_seconds_count", "ListReleases")] >= 1
    assert found[("fedshow_calls_total", "404", "no route")] >= 1
    assert found[("fedshow_calls_total", "403", "DELETE /api/drawings/{drawing}")] >= 1
    assert "PROPFIND" not in str(found)  # or strangers could fill our memory with numbers
    assert found[("fedshow_concepts", "wanted")] == 0
    assert found[("fedshow_nodes",)] == 1
    assert found[("fedshow_releases",)] == 0
    assert found[("fedshow_superlink_starts",)] >= 1  # begun anew where it was slow to answer
    assert found[("fedshow_disk_free_bytes",)] > 0
    assert found[("process_resident_memory_bytes",)] > 0


def test_metrics_are_for_those_who_may_see_them(watched, server):
    with watched.http() as client:
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "scrape-me"}):
            assert client.get("/metrics", headers=headers).status_code == 403
    with server.http() as client:  # no token is set there, and we are on its machine
        assert client.get("/metrics").status_code == 200


def serving(member):
    """What the health service says of the whole and of each service."""
    credentials = grpc.ssl_channel_credentials(member.ca_pem)
    with grpc.secure_channel(member.reply.grpc, credentials) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        services = ("", *rpc.SERVICES)
        answers = [
            ask(health_pb2.HealthCheckRequest(service=name), timeout=60) for name in services
        ]
    return [answer.status == health_pb2.HealthCheckResponse.SERVING for answer in answers]


@contextmanager
def superlink_down(server):
    """Inside, whatever SuperLink the server starts is killed."""
    over = Event()

    def kill():
        while not over.wait(0.1):
            for pid in children(server.process.pid, "superlink_process"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    thread = Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_health_says_which_part_is_ill(tools, postgres, joined, tmp_path):
    environment = {
        "FEDSHOW_SERVER_DATABASE": postgres.new_database(),
        "FEDSHOW_SERVER_FREE_DISK_BYTES": "0",
    }
    server = tools.Server(tools.make_data(tmp_path / "data"), environment=environment)
    server.start()
    anna = joined(server, "anna")

    def parts():
        answer = client.get("/healthz")
        assert answer.status_code == (200 if answer.json()["serving"] else 503)
        return answer.json()["parts"]

    with server.http() as client:
        assert set(parts().values()) == {"ok"}
        assert serving(anna) == [True, True, True, True]
        with superlink_down(server):
            tools.eventually(lambda: parts()["superlink"] == "is not up")
            tools.eventually(lambda: serving(anna) == [False, False, True, True])
        tools.eventually(lambda: set(parts().values()) == {"ok"})
        postgres.stop()
        tools.eventually(lambda: "does not answer" in parts()["database"])
        tools.eventually(lambda: serving(anna) == [False, False, False, False])
        postgres.start()
        tools.eventually(lambda: set(parts().values()) == {"ok"})
    assert server.end() == 0
