"""Who asks, and which Atlas: the order of the places, halves of pairs, what is concealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients.atlas.credentials import Found
from asp_utils.errors import AspError, ConfigInvalid, EnvironmentMissing, ExitCode, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.atlas.conftest import MemoryRing, Surroundings

PROJECT = "32b6e34b3d91647abb20e7b8"
OTHER = "0123456789abcdef01234567"
ACCOUNT = {"client_id": "id", "client_secret": "secret-c"}
PROFILE = f"""
version = 2
[default]
auth_type = "api_keys"
project_id = "{PROJECT}"
public_api_key = "public-p"
private_api_key = "private-p"
[work]
project_id = "{OTHER}"
client_id = "id-w"
client_secret = "secret-w"
ops_manager_url = "https://staging.test/"
[empty]
org_id = "x"
"""


def found(around: Surroundings, account: Any = None) -> tuple[str, str]:
    site = around.site(account)
    return site.found.kind, site.found.source


@pytest.mark.parametrize(
    ("name", "secret", "kind"),
    [
        ("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET", "service_account"),
        ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY", "api_keys"),
        ("MONGODB_ATLAS_PUBLIC_KEY", "MONGODB_ATLAS_PRIVATE_KEY", "api_keys"),
        ("MONGODB_ATLAS_ACCESS_TOKEN", "MONGODB_ATLAS_REFRESH_TOKEN", "user_account"),
        ("MDB_MCP_API_CLIENT_ID", "MDB_MCP_API_CLIENT_SECRET", "service_account"),
        ("MCLI_PUBLIC_API_KEY", "MCLI_PRIVATE_API_KEY", "api_keys"),
    ],
)
def test_variables(around: Surroundings, name: str, secret: str, kind: str) -> None:
    around.environment |= {name: "n4me", secret: "s3cret"}
    assert found(around) == (kind, f"environment {name}")
    assert "s3cret" in around.secrets
    site = around.site()
    assert "s3cret" not in f"{site!r} {site.credentials!r} {site.found}"


def test_a_token_alone(around: Surroundings) -> None:
    around.environment["MONGODB_ATLAS_ACCESS_TOKEN"] = "t0ken"
    assert found(around) == ("access_token", "environment MONGODB_ATLAS_ACCESS_TOKEN")
    assert around.secrets == {"t0ken"}


def test_no_auth(around: Surroundings) -> None:
    around.environment |= {
        "MONGODB_ATLAS_AUTH_TYPE": "no_auth",
        "MONGODB_ATLAS_BASE_URL": "http://emulator.test:8080",
    }
    assert found(around) == ("no_auth", "environment MONGODB_ATLAS_AUTH_TYPE")


def test_auth_type_chooses(around: Surroundings) -> None:
    around.environment |= {
        "MONGODB_ATLAS_CLIENT_ID": "of the login, without a secret",
        "MONGODB_ATLAS_PUBLIC_KEY": "i",
        "MONGODB_ATLAS_PRIVATE_KEY": "s",
        "MONGODB_ATLAS_AUTH_TYPE": "api_keys",
    }
    assert found(around)[0] == "api_keys"
    around.environment["MONGODB_ATLAS_AUTH_TYPE"] = "magic"
    with pytest.raises(ConfigInvalid, match="'magic' is no auth_type"):
        found(around)


def test_the_order_of_the_places(around: Surroundings, config_toml: Callable[[str], Path]) -> None:
    config_toml(PROFILE)
    assert found(around) == ("api_keys", "profile default (config.toml)")
    around.environment |= {"MDB_MCP_API_CLIENT_ID": "i", "MDB_MCP_API_CLIENT_SECRET": "s"}
    assert found(around) == ("service_account", "environment MDB_MCP_API_CLIENT_ID")
    assert found(around, {"profile": "work"})[1] == "profile work (config.toml)"
    assert found(around, ACCOUNT) == ("service_account", "the config's `atlas`")
    assert {"private-p", "s", "secret-w", "secret-c"} <= around.secrets


def test_where_the_project_comes_from(
    around: Surroundings, config_toml: Callable[[str], Path]
) -> None:
    assert (around.site(ACCOUNT).project_id, around.site(ACCOUNT).project_source) == (None, "")
    config_toml(PROFILE)
    assert around.site(ACCOUNT).project_id == PROJECT
    assert around.site(ACCOUNT).project_source == "profile default (config.toml)"
    around.environment["MONGODB_ATLAS_PROJECT_ID"] = OTHER
    assert around.site().project_source == "environment MONGODB_ATLAS_PROJECT_ID"
    assert around.site({"profile": "default"}).project_id == PROJECT
    assert around.site({"project_id": "a" * 24}).project_id == "a" * 24


def test_where_the_url_comes_from(around: Surroundings, config_toml: Callable[[str], Path]) -> None:
    config_toml(PROFILE)
    site = around.site()
    assert (site.base_url, site.base_url_source) == ("https://cloud.mongodb.com", "Atlas itself")
    assert around.site({"profile": "work"}).base_url == "https://staging.test/"
    around.environment["MONGODB_ATLAS_SERVICE"] = "cloudgov"
    assert around.site().base_url == "https://cloud.mongodbgov.com"
    around.environment["MONGODB_ATLAS_BASE_URL"] = "https://two.test"
    around.environment["MDB_MCP_API_BASE_URL"] = "https://mcp.test"
    assert around.site().base_url == "https://two.test"
    around.environment["MONGODB_ATLAS_OPS_MANAGER_URL"] = "https://one.test"
    assert around.site().base_url == "https://one.test"
    assert around.site("https://given.test").base_url == "https://given.test"
    # The MCP server's variables go together, and so do the legacy ones.
    around.environment |= {"MDB_MCP_API_CLIENT_ID": "i", "MDB_MCP_API_CLIENT_SECRET": "s"}
    assert around.site().base_url == "https://mcp.test"


def test_a_profiles_url_is_its_own(
    around: Surroundings, config_toml: Callable[[str], Path]
) -> None:
    config_toml(PROFILE)
    around.environment |= {
        "MONGODB_ATLAS_PROFILE": "work",
        "MONGODB_ATLAS_CLIENT_ID": "i",
        "MONGODB_ATLAS_CLIENT_SECRET": "s",
    }
    assert around.site().base_url == "https://cloud.mongodb.com"
    assert around.site().project_id == OTHER


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"client_id": "i"}, "$.atlas.client_secret"),
        ({"client_secret": "s"}, "$.atlas.client_id"),
        ({"public_key": "i"}, "$.atlas.private_key"),
        ({"client_id": "i", "private_key": "s"}, "$.atlas.client_secret"),
        ({**ACCOUNT, "public_key": "i", "private_key": "s"}, "$.atlas"),
        ({**ACCOUNT, "url": "cloud.mongodb.com"}, "$.atlas.url"),
        ({**ACCOUNT, "url": "ftp://x"}, "$.atlas.url"),
        ({**ACCOUNT, "url": "https://"}, "$.atlas.url"),
        ({**ACCOUNT, "url": "https://x:y"}, "$.atlas.url"),
        ({**ACCOUNT, "url": "https://u:p@x.test"}, "$.atlas.url"),
        ({**ACCOUNT, "url": "https://x.test/api/atlas/v2"}, "$.atlas.url"),
        ({**ACCOUNT, "url": "https://x.test?a=1"}, "$.atlas.url"),
        ({**ACCOUNT, "url": "http://x.test"}, "$.atlas.url"),
        ({**ACCOUNT, "project_id": "ABC"}, "$.atlas.project_id"),
        ({"profile": "nobody"}, "$.atlas.profile"),
    ],
)
def test_what_the_config_cannot_say(around: Surroundings, given: dict[str, str], path: str) -> None:
    around.environment |= {"MONGODB_ATLAS_CLIENT_ID": "i", "MONGODB_ATLAS_CLIENT_SECRET": "s"}
    with pytest.raises(ConfigInvalid) as caught:
        around.site(given)
    assert caught.value.path == path
    assert "p@x" not in caught.value.message


def test_all_faults_of_the_config_at_once(around: Surroundings) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        around.site({"client_id": "i", "private_key": "s"})
    assert [fault.path for fault in caught.value.faults] == [
        "$.atlas.client_secret",
        "$.atlas.public_key",
    ]
    with pytest.raises(ConfigInvalid) as caught:
        around.site({**ACCOUNT, "url": "x", "project_id": "y"})
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("variable", "missing"),
    [
        ("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET"),
        ("MONGODB_ATLAS_CLIENT_SECRET", "MONGODB_ATLAS_CLIENT_ID"),
        ("MONGODB_ATLAS_PUBLIC_KEY", "MONGODB_ATLAS_PRIVATE_KEY"),
        ("MONGODB_ATLAS_REFRESH_TOKEN", "MONGODB_ATLAS_ACCESS_TOKEN"),
        ("MDB_MCP_API_CLIENT_ID", "MDB_MCP_API_CLIENT_SECRET"),
        ("MCLI_PRIVATE_API_KEY", "MCLI_PUBLIC_API_KEY"),
    ],
)
def test_half_a_pair_of_variables(
    around: Surroundings, config_toml: Callable[[str], Path], variable: str, missing: str
) -> None:
    config_toml(PROFILE)
    around.environment[variable] = "never-shown"
    with pytest.raises(PermissionDenied, match=f"{missing}: it is missing") as caught:
        around.site()
    assert variable in caught.value.message
    assert f"set {missing}" in caught.value.hint
    assert caught.value.details["faults"][0]["path"] == missing
    assert "never-shown" not in str(caught.value.to_json())


def test_the_two_spellings_are_not_mixed(around: Surroundings) -> None:
    around.environment |= {"MONGODB_ATLAS_PUBLIC_KEY": "i", "MONGODB_ATLAS_PRIVATE_API_KEY": "s"}
    with pytest.raises(PermissionDenied) as caught:
        around.site()
    assert len(caught.value.details["faults"]) == 2


def test_nothing_is_found(around: Surroundings) -> None:
    with pytest.raises(PermissionDenied, match="no Atlas credentials") as caught:
        around.site()
    for way in ("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_PUBLIC_API_KEY", "atlas auth login"):
        assert way in caught.value.hint
    assert caught.value.exit_code == ExitCode.PERMISSION
    assert ".config/atlascli/config.toml" in caught.value.message


class TestProfiles:
    """The Atlas CLI's file and key ring."""

    def test_the_only_profile_counts(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        config_toml('[Mine]\nPublic_API_Key = "a"\nprivate_api_key = "b"')
        assert found(around) == ("api_keys", "profile mine (config.toml)")

    def test_a_named_one(self, around: Surroundings, config_toml: Callable[[str], Path]) -> None:
        config_toml(PROFILE)
        around.environment["MONGODB_ATLAS_PROFILE"] = "Work"
        assert found(around) == ("service_account", "profile work (config.toml)")
        around.environment["MONGODB_ATLAS_PROFILE"] = "nobody"
        with pytest.raises(ConfigInvalid, match="there are default, empty, work") as caught:
            around.site()
        assert caught.value.path == "MONGODB_ATLAS_PROFILE"

    def test_what_stands_outside_a_table_comes_first(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        config_toml(f'project_id = "{OTHER}"\n' + PROFILE)
        assert around.site().project_id == OTHER

    def test_an_xdg_folder(self, around: Surroundings, tmp_path: Path) -> None:
        around.environment["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
        file = tmp_path / "xdg" / "atlascli" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text(PROFILE)
        assert found(around)[0] == "api_keys"

    def test_a_profile_without_credentials(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        config_toml(PROFILE)
        with pytest.raises(PermissionDenied, match="profile empty of the Atlas CLI has none"):
            around.site({"profile": "empty"})

    @pytest.mark.parametrize(
        ("text", "error", "said"),
        [
            ("version = 3\n[default]", EnvironmentMissing, "has layout 3"),
            ("[default", EnvironmentMissing, "cannot be read"),
            ('[default]\nauth_type = "x"', ConfigInvalid, "'x' is no auth_type"),
            ('[default]\npublic_api_key = "x"', PermissionDenied, "private_api_key: it is missing"),
            (
                '[default]\nclient_id = "a"\nclient_secret = "b"\nservice = "cloudx"',
                ConfigInvalid,
                "'cloudx' is no service",
            ),
        ],
    )
    def test_files_that_cannot_be(
        self,
        around: Surroundings,
        config_toml: Callable[[str], Path],
        text: str,
        error: type[AspError],
        said: str,
    ) -> None:
        config_toml(text)
        with pytest.raises(error, match=said):
            around.site()

    def test_the_file_is_not_read_when_nothing_of_it_is_needed(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        config_toml("[default")
        assert around.site({**ACCOUNT, "project_id": PROJECT}).project_id == PROJECT

    def test_no_auth(self, around: Surroundings, config_toml: Callable[[str], Path]) -> None:
        config_toml('[default]\nauth_type = "no_auth"\nbase_url = "http://127.0.0.1:1"')
        assert around.site().found == Found("no_auth", "profile default (config.toml)")

    def test_the_key_ring(
        self, around: Surroundings, config_toml: Callable[[str], Path], ring: MemoryRing
    ) -> None:
        config_toml('version = 2\n[default]\nauth_type = "service_account"')
        ring.by_cli("default", client_id="id", client_secret="in-ring")
        assert found(around) == ("service_account", "profile default (key ring)")
        assert "in-ring" in around.secrets

    @pytest.mark.parametrize(
        "kept", ["go-keyring-base64:cHJpdmF0ZS1r", "go-keyring-encoded:707269766174652d6b"]
    )
    def test_values_as_macos_keeps_them(
        self,
        around: Surroundings,
        config_toml: Callable[[str], Path],
        ring: MemoryRing,
        kept: str,
    ) -> None:
        config_toml("[default]")
        ring.by_cli("default", public_api_key="public", private_api_key=kept)
        assert found(around)[0] == "api_keys"
        assert "private-k" in around.secrets

    def test_a_damaged_value_is_half_a_pair(
        self, around: Surroundings, config_toml: Callable[[str], Path], ring: MemoryRing
    ) -> None:
        config_toml("[default]")
        ring.by_cli("default", public_api_key="p", private_api_key="go-keyring-base64:x")
        with pytest.raises(PermissionDenied, match=r"profile default \(key ring\)"):
            around.site()

    def test_a_key_ring_that_is_locked(
        self, around: Surroundings, config_toml: Callable[[str], Path], ring: MemoryRing
    ) -> None:
        from keyring.errors import KeyringLocked

        config_toml(PROFILE)
        ring.fault = KeyringLocked("the collection is locked")
        assert found(around) == ("api_keys", "profile default (config.toml)")
        config_toml("[default]")
        with pytest.raises(PermissionDenied, match="the collection is locked"):
            around.site()

    def test_the_key_ring_is_not_asked_without_a_profile(
        self, around: Surroundings, ring: MemoryRing
    ) -> None:
        ring.fault = AssertionError("asked")
        with pytest.raises(PermissionDenied):
            around.site()
