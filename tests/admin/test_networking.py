"""Private links, peerings, accounts and projects over the Admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asp_utils.errors import ConfigInvalid, Conflict, NotFound, TimedOut
from asp_utils.operations.networking import (
    account_details,
    peering_accept,
    peering_delete,
    peering_list,
    peering_list_active,
    peering_reject,
    private_link_create,
    private_link_delete,
    private_link_get,
    private_link_list,
    private_link_update,
)
from asp_utils.operations.projects import project_get, project_list
from tests.admin.fake_atlas import PROJECT, Reply, problem

if TYPE_CHECKING:
    from tests.admin.conftest import Here

LINK = {"provider": "AWS", "vendor": "S3", "region": "us-east-1"}


def test_a_private_link_from_first_to_last(here: Here) -> None:
    made = private_link_create(here.ctx, LINK, atlas=here.account)
    assert here.fake.sent("POST")[0].body == LINK
    assert (made["state"], made["previous_state"], made["changed"]) == ("DONE", None, True)
    ident = made["id"]
    assert private_link_get(here.ctx, ident, atlas=here.account)["vendor"] == "S3"
    listed = private_link_list(here.ctx, atlas=here.account)["private_links"]
    assert [item["_id"] for item in listed] == [ident]
    same = private_link_update(here.ctx, ident, {"region": "us-east-1"}, atlas=here.account)
    assert not same["changed"]
    moved = private_link_update(here.ctx, ident, {"region": "us-east-2"}, atlas=here.account)
    assert here.fake.sent("PATCH")[0].body == {**LINK, "region": "us-east-2"}
    assert moved["changed"]
    gone = private_link_delete(here.ctx, ident, atlas=here.account)
    assert (gone["state"], gone["private_link"]) == ("DELETED", None)
    with pytest.raises(NotFound, match="no private link"):
        private_link_get(here.ctx, ident, atlas=here.account)


def test_all_faults_of_a_private_link_come_at_once(here: Here) -> None:
    wrong = {
        "provider": "AWS",
        "vendor": "CONFLUENTT",
        "arm": "x",
        "arn": "x",
        "authenticationScheme": "SASL",
        "gcpConnectionIds": list("abcd"),
    }
    with pytest.raises(ConfigInvalid) as caught:
        private_link_create(here.ctx, wrong, atlas=here.account)
    hints = {fault.path: fault.hint for fault in caught.value.faults}
    assert hints["$.private_link.vendor"] == "did you mean 'CONFLUENT'?"
    assert hints["$.private_link.arm"] == "did you mean 'arn'?"
    assert set(hints) >= {
        "$.private_link.arn",
        "$.private_link.authenticationScheme",
        "$.private_link.gcpConnectionIds",
    }
    assert here.fake.requests == []


@pytest.mark.parametrize(
    ("provider", "vendor", "needed"),
    [
        ("AWS", "MSK", {"arn"}),
        ("AWS", "CONFLUENT", {"serviceEndpointId", "dnsDomain", "dnsSubDomain"}),
        ("AZURE", "EVENTHUB", {"serviceEndpointId", "dnsDomain"}),
        ("GCP", "CONFLUENT", {"gcpServiceAttachmentUris"}),
    ],
)
def test_each_vendor_needs_its_fields(
    here: Here, provider: str, vendor: str, needed: set[str]
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        private_link_create(here.ctx, {"provider": provider, "vendor": vendor}, atlas=here.account)
    paths = {fault.path.rpartition(".")[2] for fault in caught.value.faults}
    assert paths == needed


def test_a_private_link_that_fails_says_why(here: Here) -> None:
    here.fake.script["link"] = ["WORKING", "FAILED"]
    wrong = {**LINK, "errorMessage": "no such endpoint"}
    with pytest.raises(Conflict, match="no such endpoint"):
        private_link_create(here.ctx, wrong, check_definition=False, atlas=here.account)


def test_a_private_link_in_use_is_kept(here: Here) -> None:
    ident = private_link_create(here.ctx, LINK, atlas=here.account)["id"]
    refusal = problem(409, "STREAM_PRIVATE_LINK_IN_USE", "connection kafka uses it")
    here.fake.refuse("DELETE", f"/privateLinkConnections/{ident}", refusal)
    with pytest.raises(Conflict, match="connection kafka uses it"):
        private_link_delete(here.ctx, ident, atlas=here.account)


def peering(here: Here, ident: str = "pcx-1", status: str = "pending") -> None:
    """A peering that account 42 asked for."""
    found = {"_id": ident, "requesterAccountId": "42", "cloudStatus": status}
    here.fake.peerings[ident] = found


def test_peerings_are_accepted_and_looked_at(here: Here) -> None:
    peering(here)
    assert len(peering_list(here.ctx, "42", atlas=here.account)["peerings"]) == 1
    assert peering_list_active(here.ctx, atlas=here.account)["peerings"] == []
    result = peering_accept(here.ctx, "pcx-1", "42", "vpc-7", atlas=here.account)
    (request,) = here.fake.sent("POST")
    assert request.path == "/vpcPeeringConnections/pcx-1:accept"
    assert request.body == {"requesterAccountId": "42", "requesterVpcId": "vpc-7"}
    assert (result["previous_status"], result["status"]) == ("pending", "active")
    assert len(peering_list_active(here.ctx, atlas=here.account)["peerings"]) == 1
    gone = peering_delete(here.ctx, "pcx-1", atlas=here.account)
    assert (gone["status"], gone["changed"], gone["peering"]) == ("GONE", True, None)


def test_peerings_are_rejected(here: Here) -> None:
    peering(here)
    result = peering_reject(here.ctx, "pcx-1", "42", atlas=here.account)
    assert (result["status"], result["changed"]) == ("rejected", True)


def test_an_acceptance_that_does_not_show_is_no_success(here: Here) -> None:
    peering(here)
    here.fake.refuse("POST", "/vpcPeeringConnections/pcx-1:accept", Reply(202, {}))
    with pytest.raises(TimedOut):
        peering_accept(here.ctx, "pcx-1", "42", "vpc-7", timeout_s=10, atlas=here.account)


def test_a_peering_of_another_account_is_not_found(here: Here) -> None:
    peering(here)
    with pytest.raises(NotFound, match="no peering 'pcx-9'") as caught:
        peering_reject(here.ctx, "pcx-9", "42", atlas=here.account)
    assert "pcx-1" in caught.value.hint


def test_account_details_are_of_a_region(here: Here) -> None:
    found = account_details(here.ctx, "AWS", "VIRGINIA_USA", atlas=here.account)
    assert found["awsAccountId"] == "123456789012"
    query = {"cloudProvider": "AWS", "regionName": "VIRGINIA_USA"}
    assert here.fake.sent("GET")[0].query == query
    with pytest.raises(ConfigInvalid, match=r"\$\.region"):
        account_details(here.ctx, "AWS", "VIRGINIA", atlas=here.account)


def test_projects(here: Here) -> None:
    listed = project_list(here.ctx, atlas=here.account)["projects"]
    assert listed == [{"id": PROJECT, "name": "Tests"}]
    assert project_get(here.ctx, atlas=here.account)["name"] == "Tests"
    other = {**here.account, "project_id": "f" * 24}
    with pytest.raises(NotFound) as caught:
        project_get(here.ctx, atlas=other)  # type: ignore[arg-type]
    assert caught.value.hint == f"there are Tests ({PROJECT})"
