"""atlas-streams-build of the MongoDB MCP server: every resource it can build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.model.samples import SAMPLE_NAMES
from tests.official.agent import SOLAR, copying, into
from tests.waiting import until

if TYPE_CHECKING:
    from tests.official.agent import Agent
    from tests.official.local import Local
    from tests.official.mcp import McpServer

    Document = dict[str, Any]

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("official"),
]

ROLE = "arn:aws:iam::123456789012:role/streams"
SASL = {"protocol": "SASL_SSL"}
BROKERS = "b1.example.com:9092,b2.example.com:9092"
USER = {"username": "kay", "password": "hush-hush"}


def test_projects_are_listed(mcp: McpServer, local: Local) -> None:
    shown = mcp.expect("atlas-list-projects")
    assert [each["id"] for each in shown.structured["projects"]] == [local.state.project_id]
    assert shown.structured["totalCount"] == 1
    assert local.state.project_id in shown.text

    organization = shown.structured["projects"][0]["orgId"]
    of_organization = mcp.expect("atlas-list-projects", orgId=organization, includeCount=True)
    assert of_organization.structured["projects"] == shown.structured["projects"]


@pytest.mark.parametrize(
    ("options", "tier"),
    [
        ({"cloudProvider": "AWS", "region": "DUBLIN_IRL"}, "SP10"),
        (
            {
                "cloudProvider": "AZURE",
                "region": "westeurope",
                "tier": "SP30",
                "includeSampleData": False,
            },
            "SP30",
        ),
        ({"cloudProvider": "GCP", "region": "US_CENTRAL1", "tier": "SP2"}, "SP2"),
    ],
)
def test_a_workspace_with_or_without_samples(agent: Agent, options: Document, tier: str) -> None:
    name = f"ws-{options['cloudProvider']}"
    shown = agent.build("workspace", workspaceName=name, **options)
    assert (shown.is_error, shown.structured) == (False, {"resource": "workspace"})
    where = f"{options['cloudProvider']}/{options['region']}"
    assert f"Workspace '{name}' created in {where} ({tier})." in shown.text

    true = agent.local.rest.get(f"/streams/{name}").json()
    assert true["streamConfig"]["tier"] == tier
    assert true["dataProcessRegion"]["region"] == options["region"]
    assert ("Includes sample_stream_solar" in shown.text) == ("includeSampleData" not in options)
    solar = [] if "includeSampleData" in options else ["sample_stream_solar"]
    assert list(agent.local.connections(name)) == solar
    assert agent.local.command(name, "listStreamProcessors")["streamProcessors"] == []
    agent.forget("", name)


def test_a_workspace_that_cannot_be(agent: Agent, workspace: str) -> None:
    place = {"cloudProvider": "AWS", "region": "DUBLIN_IRL"}
    again = agent.build("workspace", workspaceName=workspace, **place)
    assert again.is_error
    assert again.text.startswith("Conflict: [409 ")
    assert workspace in again.text

    nowhere = agent.build(
        "workspace", workspaceName="nowhere", cloudProvider="AWS", region="ATLANTIS"
    )
    assert nowhere.is_error
    assert "Bad Request" in nowhere.text
    assert "ATLANTIS" in nowhere.text
    assert "nowhere" not in agent.local.workspaces()


CONNECTIONS: dict[str, tuple[str, Document, Document]] = {
    "kafka-plain": (
        "Kafka",
        {
            "bootstrapServers": ["b1.example.com:9092", "b2.example.com:9092"],
            "authentication": {"mechanism": "PLAIN", **USER},
            "security": SASL,
        },
        {
            "bootstrapServers": BROKERS,
            "authentication": {"mechanism": "PLAIN", "username": "kay"},
            "security": SASL,
        },
    ),
    "kafka-scram": (
        "Kafka",
        {
            "bootstrapServers": BROKERS,
            "authentication": {"mechanism": "SCRAM-512", **USER},
            "security": {"protocol": "SASL_PLAINTEXT"},
            "config": {"auto.offset.reset": "earliest"},
            "networking": {"access": {"type": "PUBLIC"}},
        },
        {
            "config": {"auto.offset.reset": "earliest"},
            "networking": {"access": {"type": "PUBLIC"}},
        },
    ),
    "kafka-msk": (
        "Kafka",
        {
            "bootstrapServers": BROKERS,
            "authentication": {"mechanism": "AWS_MSK_IAM", "aws": {"roleArn": ROLE}},
            "security": SASL,
        },
        {"authentication": {"mechanism": "AWS_MSK_IAM", "aws": {"roleArn": ROLE}}},
    ),
    "cluster": (
        "Cluster",
        {"clusterName": "Cluster7"},
        {
            "clusterName": "Cluster7",
            "dbRoleToExecute": {"role": "readWriteAnyDatabase", "type": "BUILT_IN"},
        },
    ),
    "bucket": (
        "S3",
        {"aws": {"roleArn": ROLE, "testBucket": "trial"}},
        {"aws": {"roleArn": ROLE, "testBucket": "trial"}},
    ),
    "web": (
        "Https",
        {"url": "https://example.com/hook", "headers": {"X-Key": "hush-hush"}},
        {"url": "https://example.com/hook"},
    ),
    "kinesis": ("AWSKinesisDataStreams", {"aws": {"roleArn": ROLE}}, {"aws": {"roleArn": ROLE}}),
    "lambda": ("AWSLambda", {"aws": {"roleArn": ROLE}}, {"aws": {"roleArn": ROLE}}),
    "registry": (
        "SchemaRegistry",
        {"url": "https://registry.example.com", "authentication": USER},
        {
            "provider": "CONFLUENT",
            "schemaRegistryUrls": ["https://registry.example.com"],
            "schemaRegistryAuthentication": {"type": "USER_INFO", "username": "kay"},
        },
    ),
    "registry-inherit": (
        "SchemaRegistry",
        {
            "schemaRegistryUrls": ["https://registry.example.com"],
            "schemaRegistryAuthentication": {"type": "SASL_INHERIT"},
        },
        {"schemaRegistryAuthentication": {"type": "SASL_INHERIT"}},
    ),
}


@pytest.mark.parametrize("name", list(CONNECTIONS))
def test_every_type_of_connection(agent: Agent, name: str) -> None:
    kind, config, expected = CONNECTIONS[name]
    given = {"connectionName": name, "connectionType": kind, "connectionConfig": config}
    shown = agent.build("connection", **given)
    assert (shown.is_error, shown.structured) == (False, {"resource": "connection"}), shown.text
    assert shown.text.startswith(f"Connection '{name}' ({kind}) added to workspace")

    true = agent.local.connections(agent.workspace)[name]
    assert (true["type"], true["state"]) == (kind, "READY")
    assert {field: true[field] for field in expected} == expected
    assert "hush-hush" not in str(true)
    if "hush-hush" in str(config):
        assert "hush-hush" not in agent.discover("inspect-connection", resourceName=name).text
    agent.forget(f"connections/{name}")


@pytest.mark.parametrize("name", SAMPLE_NAMES[1:])
def test_every_sample_can_be_connected_and_taken_away(agent: Agent, name: str) -> None:
    made = agent.build("connection", connectionName=name, connectionType="Sample")
    assert (made.is_error, made.structured) == (False, {"resource": "connection"}), made.text
    true = agent.local.connections(agent.workspace)[name]
    assert (true["type"], true["state"]) == ("Sample", "READY")
    gone = agent.tear_down("connection", name)
    assert not gone.is_error, gone.text
    assert name not in agent.local.connections(agent.workspace)


def test_a_sample_that_is_there_or_is_none(agent: Agent) -> None:
    there = agent.build("connection", connectionName="sample_stream_solar", connectionType="Sample")
    assert there.is_error
    assert there.text.startswith("Conflict: [409 ")
    unknown = agent.build("connection", connectionName="sampletides", connectionType="Sample")
    assert unknown.is_error
    assert unknown.text.startswith("Bad Request: [400 ")
    assert "there is no sample 'sampletides'" in unknown.text
    assert "sampletides" not in agent.local.connections(agent.workspace)


FORMS: dict[str, tuple[str, Document, dict[str, str]]] = {
    "asked-kafka": (
        "Kafka",
        {"authentication": {"mechanism": "PLAIN"}},
        {"bootstrapServers": BROKERS, "protocol": "SASL_SSL", **USER},
    ),
    "asked-cluster": ("Cluster", {}, {"clusterName": "Cluster8"}),
    "asked-bucket": ("S3", {}, {"roleArn": ROLE}),
    "asked-web": ("Https", {}, {"url": "https://example.com/hook"}),
    "asked-registry": (
        "SchemaRegistry",
        {},
        {"schemaRegistryUrl": "https://registry.example.com", **USER},
    ),
}


@pytest.mark.parametrize("name", list(FORMS))
def test_what_a_connection_lacks_is_asked_for(agent: Agent, name: str) -> None:
    kind, config, answers = FORMS[name]
    agent.server.answers = answers
    given = {"connectionName": name, "connectionType": kind, "connectionConfig": config}
    shown = agent.build("connection", **given)
    assert not shown.is_error, shown.text
    assert agent.server.asked == [
        f"The following information is required to create the {kind} connection."
    ]
    assert agent.local.connections(agent.workspace)[name]["state"] == "READY"
    agent.forget(f"connections/{name}")


def test_a_form_that_nobody_fills_in(agent: Agent) -> None:
    agent.server.consent = "decline"
    shown = agent.build("connection", connectionName="blank", connectionType="Https")
    assert shown.is_error
    assert "url" in shown.text.lower()
    assert "blank" not in agent.local.connections(agent.workspace)


def test_a_connection_that_cannot_be(agent: Agent) -> None:
    url = {"url": "https://example.com"}
    again = agent.build(
        "connection", connectionName="lake", connectionType="Https", connectionConfig=url
    )
    assert again.is_error
    assert again.text.startswith("Conflict: [409 ")
    assert agent.local.connections(agent.workspace)["lake"]["type"] == "Cluster"

    faulty = agent.build(
        "connection",
        connectionName="faulty",
        connectionType="Kafka",
        connectionConfig={
            "bootstrapServers": "no port",
            "authentication": {"mechanism": "PLAIN", **USER},
            "security": {"protocol": "SSL"},
        },
    )
    assert faulty.is_error
    assert faulty.text.startswith("Bad Request: [400 ")
    assert "bootstrapServers" in faulty.text
    assert "hush-hush" not in faulty.text

    elsewhere = agent.build(
        "connection",
        workspaceName="missing",
        connectionName="lake",
        connectionType="Https",
        connectionConfig=url,
    )
    assert elsewhere.is_error
    assert elsewhere.text.startswith("Resource not found: [404 ")
    assert "missing" in elsewhere.text


def test_a_processor_that_waits(agent: Agent) -> None:
    true = agent.processor("waits")
    assert true["state"] == "CREATED"
    assert true["pipeline"] == copying("waits")
    assert agent.local.count("waits") == 0
    agent.forget("processor/waits")


def test_a_processor_with_everything_that_starts_at_once(agent: Agent) -> None:
    dead = {"connectionName": "lake", "db": "official", "coll": "built_dead"}
    validator = {"$jsonSchema": {"properties": {"device_id": {"not": {"enum": ["device_1"]}}}}}
    stages = [
        SOLAR,
        {"$validate": {"validator": validator, "validationAction": "dlq"}},
        # Keys in an order that no sorting gives.
        {"$addFields": {"z": 1, "a": {"$add": ["$obs.watts", 1]}}},
        into("built"),
    ]
    true = agent.processor(
        "built",
        pipeline=stages,
        dlq=dead,
        processorTier="SP10",
        autoscaling={"enabled": True, "minTier": "SP5", "maxTier": "SP30"},
        autoStart=True,
    )
    assert true["state"] == "STARTED"
    assert true["tier"] == "SP10"
    assert true["options"]["dlq"] == dead
    assert true["pipeline"] == stages
    assert list(true["pipeline"][2]["$addFields"]) == ["z", "a"]
    until(lambda: agent.local.count("built") > 0 and agent.local.count("built_dead") > 0)
    document = agent.local.cluster["official"]["built"].find_one() or {}
    assert document["a"] == document["obs"]["watts"] + 1
    inspected = agent.discover("inspect-processor", resourceName="built").structured
    assert inspected["tier"] == "SP10"
    assert inspected["autoscaling"] == {"enabled": True, "minTier": "SP5", "maxTier": "SP30"}
    assert inspected["dlq"] == dead
    assert inspected["pipeline"] == stages
    agent.forget("processor/built")


@pytest.mark.parametrize(
    ("options", "opening", "said"),
    [
        (
            {"pipeline": [{"$source": {"connectionName": "nowhere"}}, into("x")]},
            "Cannot",
            "nowhere",
        ),
        ({"pipeline": [SOLAR, {"$limit": 1}, into("x")]}, "Bad Request: [400 ", "$limit"),
        ({"pipeline": [SOLAR, {"$macth": {}}, into("x")]}, "Bad Request: [400 ", "$macth"),
        ({"processorTier": "SP50"}, "Bad Request: [400 ", "SP50"),
    ],
)
def test_a_processor_that_cannot_be(
    agent: Agent, options: Document, opening: str, said: str
) -> None:
    if "processorTier" in options:
        raised = agent.local.rest.patch(
            f"/streams/{agent.workspace}", json={"streamConfig": {"maxTierSize": "SP30"}}
        )
        assert raised.status_code == 200, raised.text
    given = {"pipeline": copying("refused"), **options}
    shown = agent.build("processor", processorName="refused", **given)
    assert shown.is_error
    assert shown.text.startswith(opening), shown.text
    assert said in shown.text
    assert "refused" not in agent.local.processors(agent.workspace)


LINKS: list[Document] = [
    {
        "provider": "AWS",
        "vendor": "CONFLUENT",
        "region": "us-east-1",
        "serviceEndpointId": "com.amazonaws.vpce.us-east-1.vpce-svc-0a1b2c3d",
        "dnsDomain": "sample.us-east-1.aws.confluent.cloud",
        "dnsSubDomain": ["use1-az1.sample.us-east-1.aws.confluent.cloud"],
    },
    {
        "provider": "AWS",
        "vendor": "MSK",
        "arn": "arn:aws:kafka:us-east-1:123456789012:cluster/demo/0a1b2c3d",
        "authenticationScheme": "IAM",
    },
    {
        "provider": "AWS",
        "vendor": "S3",
        "region": "us-east-1",
        "serviceEndpointId": "com.amazonaws.us-east-1.s3",
    },
    {
        "provider": "AWS",
        "vendor": "KINESIS",
        "region": "us-east-1",
        "serviceEndpointId": "com.amazonaws.us-east-1.kinesis-streams",
    },
    {
        "provider": "AZURE",
        "vendor": "EVENTHUB",
        "region": "eastus2",
        "dnsDomain": "demo.servicebus.windows.net",
        "serviceEndpointId": "/subscriptions/s/resourceGroups/g/providers/"
        "Microsoft.EventHub/namespaces/demo",
    },
    {
        "provider": "AZURE",
        "vendor": "CONFLUENT",
        "region": "eastus2",
        "dnsDomain": "demo.eastus2.azure.confluent.cloud",
        "azureResourceIds": [
            "/subscriptions/s/resourceGroups/g/providers/x/privateLinkServices/z1"
        ],
    },
    {
        "provider": "GCP",
        "vendor": "CONFLUENT",
        "region": "us-central1",
        "dnsDomain": "demo.us-central1.gcp.confluent.cloud",
        "gcpServiceAttachmentUris": [
            "projects/p/regions/us-central1/serviceAttachments/demo-service-attachment"
        ],
    },
]


@pytest.mark.parametrize("config", LINKS, ids=lambda link: f"{link['provider']}-{link['vendor']}")
def test_a_private_link_to_every_vendor(agent: Agent, config: Document) -> None:
    shown = agent.build("privatelink", privateLinkConfig=config)
    assert (shown.is_error, shown.structured) == (False, {"resource": "privatelink"}), shown.text
    (true,) = agent.local.rest.get("/streams/privateLinkConnections").json()["results"]
    assert {field: true[field] for field in config} == config
    agent.forget(true["_id"], "privateLinkConnections")


def test_a_private_link_that_cannot_be(agent: Agent) -> None:
    shown = agent.build("privatelink", privateLinkConfig={"provider": "AWS", "vendor": "MSK"})
    assert shown.is_error
    assert shown.text.startswith("Bad Request: [400 ")
    assert agent.local.rest.get("/streams/privateLinkConnections").json()["results"] == []
