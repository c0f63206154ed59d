"""The generated wrappers, run as a user runs them, against an Atlas on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import ConfigInvalid, ExitCode
from asp_utils.introspection.registry import registry
from asp_utils.operation import marking_of
from tests.admin.conftest import PIPELINE
from tests.admin.fake_atlas import CLIENT_SECRET, Reply, problem

if TYPE_CHECKING:
    from tests.admin.conftest import Here
    from tests.operations.conftest import Project, Ran

pytestmark = pytest.mark.xdist_group("admin_local")

KAFKA = {
    "name": "kafka",
    "type": "Kafka",
    "bootstrapServers": "broker.example.com:9092",
    "authentication": {"mechanism": "PLAIN", "username": "u", "password": {"$env": "KAFKA_PW"}},
    "security": {"protocol": "SASL_SSL"},
}
MODULES = ("connections", "networking", "processor_runs", "processors", "workspaces")


class Wrappers:
    """Runs wrappers with the account of the fake, its secret by reference."""

    def __init__(self, project: Project, here: Here) -> None:
        self._project = project
        self._account = {**here.account, "client_secret": {"$env": "ATLAS_SECRET"}}

    def __call__(self, name: str, /, *options: str, **config: Any) -> Ran:
        ran = self._project.run(
            name,
            {**config, "atlas": self._account},
            *options,
            ATLAS_SECRET=CLIENT_SECRET,
            KAFKA_PW="p4ssw0rd",
        )
        assert CLIENT_SECRET not in ran.out + ran.err
        assert "p4ssw0rd" not in ran.out + ran.err
        return ran


@pytest.fixture
def run(bare_project: Project, here: Here) -> Wrappers:
    return Wrappers(bare_project, here)


def test_a_whole_life_by_wrappers(run: Wrappers, here: Here, bare_project: Project) -> None:
    steps: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("workspace_ensure", {"region": "VIRGINIA_USA", "sample_connections": True}, {}),
        ("connection_create", {"connection": KAFKA}, {"state": "READY"}),
        ("processor_create", {"name": "peaks", "pipeline": PIPELINE}, {"state": "CREATED"}),
        ("processor_start", {"name": "peaks"}, {"state": "STARTED"}),
        ("processor_stop", {"name": "peaks"}, {"state": "STOPPED"}),
        ("processor_delete", {"name": "peaks"}, {"state": "DROPPED"}),
        ("connection_delete", {"name": "kafka"}, {"state": "DELETED"}),
    ]
    for name, config, expected in steps:
        ran = run(name, workspace="main", **config)
        assert ran.code == 0, ran.err
        assert expected.items() <= ran.result.items()
    logs = run("workspace_download_logs", workspace="main")
    assert (logs.code, logs.out) == (0, "")
    assert here.fake.secrets["authentication"]["password"] == "p4ssw0rd"
    for record in bare_project.session.glob("*"):
        if record.is_file():
            assert "p4ssw0rd" not in record.read_text()
            assert CLIENT_SECRET not in record.read_text()


def test_a_dry_run_shows_the_request_and_sends_nothing(run: Wrappers, here: Here) -> None:
    ran = run("connection_create", "--dry-run", workspace="main", connection=KAFKA)
    assert ran.code == 0, ran.err
    sentence = ran.result["checks"][-1]
    assert sentence.startswith("would send POST /api/atlas/v2/groups/")
    body = json.loads(sentence[sentence.index('{"') :])
    assert body["authentication"] == {
        "mechanism": "PLAIN",
        "username": "u",
        "password": "[redacted]",
    }
    assert here.fake.requests == []


def test_a_dry_run_finds_the_faults(run: Wrappers) -> None:
    wrong = {**KAFKA, "bootstrapServers": "nowhere", "typo": 1}
    ran = run("connection_create", "--dry-run", workspace="main", connection=wrong)
    assert ran.code == ExitCode.CONFIG_INVALID
    paths = [fault["path"] for fault in ran.result["details"]["faults"]]
    assert {"$.connection.bootstrapServers", "$.connection.typo"} <= set(paths)


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", ExitCode.PERMISSION),
        (409, "STREAM_CONNECTION_NAME_ALREADY_EXISTS", ExitCode.CONFLICT),
    ],
)
def test_refusals_become_exit_codes(
    run: Wrappers, here: Here, status: int, code: str, exit_code: ExitCode
) -> None:
    here.fake.refuse("POST", "/main/connections", problem(status, code, "no"))
    sample = {"name": "sample_stream_solar", "type": "Sample"}
    ran = run("connection_create", workspace="main", connection=sample)
    assert ran.code == exit_code
    assert ran.result["details"]["errorCode"] == code


@pytest.mark.parametrize(
    ("reply", "exit_code", "code"),
    [
        (Reply(503), ExitCode.TEMPORARY, "TEMPORARY"),
        (Reply(200), ExitCode.UNEXPECTED_REPLY, "UNEXPECTED_REPLY"),
        (Reply(401), ExitCode.PERMISSION, "PERMISSION_DENIED"),
        (Reply(0, dropped=True), ExitCode.UNREACHABLE, "UNREACHABLE"),
        (None, ExitCode.TIMEOUT, "TIMED_OUT"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_a_failed_call_with_an_empty_body_is_no_success(
    run: Wrappers, here: Here, reply: Reply | None, exit_code: ExitCode, code: str
) -> None:
    here.fake.script["connection"] = ["PENDING"] * 100
    for _ in range(2 if reply else 0):
        here.fake.refuse("POST", "/main/connections", reply or Reply(200))
    sample = {"name": "another", "type": "Sample"}
    ran = run(
        "connection_create",
        workspace="main",
        connection=sample,
        check_definition=False,
        timeout_s=0.5,
    )
    assert (ran.code, ran.result["code"]) == (exit_code, code)
    assert "/main/connections" in ran.result["message"] + ran.result["hint"]
    assert ran.result["hint"]


GIVEN: dict[str, Any] = {
    "workspace": "main",
    "name": "peaks",
    "region": "VIRGINIA_USA",
    "new_name": "other",
    "connection": {"name": "sample_stream_solar", "type": "Sample"},
    "changes": {"region": "us-east-2"},
    "failover": {"region": "OREGON_USA"},
    "failover_id": "f1",
    "pipeline": PIPELINE,
    "private_link": {"provider": "AWS", "vendor": "S3", "region": "us-east-1"},
    "private_link_id": "p1",
    "peering_id": "pcx-1",
    "requester_account_id": "42",
    "requester_vpc_id": "vpc-7",
}
CHANGING = [
    spec
    for spec in registry("asp_utils.operations")
    if spec.module.rpartition(".")[2] in MODULES and spec.effect != "read"
]


@pytest.mark.parametrize("spec", CHANGING, ids=lambda spec: spec.name)
def test_each_change_has_a_preview_of_its_request(spec: Any) -> None:
    marking = marking_of(spec.function)
    assert marking is not None
    assert marking.preview is not None
    wanted = {"region", "changes"} if spec.name.endswith("_update") else set()
    required = {item.name for item in spec.parameters if item.required} | wanted
    names = {item.name for item in spec.parameters}
    parameters = {key: it for key, it in GIVEN.items() if key in required & names}
    if spec.name == "failover_connection_create":
        parameters["failover"] = {"region": "OREGON_USA", "clusterName": "c"}
    found = list(marking.preview(parameters))
    assert found
    assert all(isinstance(sentence, str) for sentence in found)
    assert any("/api/atlas/v2/groups/{project}/streams" in str(it) for it in found)


def test_previews_find_faults_without_a_network() -> None:
    specs = {spec.name: spec for spec in CHANGING}
    for name, wrong in (
        ("workspace_create", {"workspace": "w", "region": "us-east-1", "tier": "SP1"}),
        ("workspace_update", {"workspace": "w"}),
        ("private_link_create", {"private_link": {"provider": "AWZ"}}),
        ("processor_start", {"workspace": "w", "name": "p", "start_at_operation_time": "x"}),
    ):
        marking = marking_of(specs[name].function)
        assert marking is not None
        assert marking.preview is not None
        with pytest.raises(ConfigInvalid):
            marking.preview(wrong)
