"""Tokens, API keys and logins: fetched, kept, renewed, never in clear."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.request import parse_http_list, parse_keqv_list

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.clients.atlas.credentials import expiry_s
from asp_utils.clients.atlas.tokens import Token, TokenFile
from asp_utils.errors import (
    AspError,
    EnvironmentMissing,
    ExitCode,
    Interrupted,
    PermissionDenied,
    Temporary,
    UnexpectedReply,
)
from tests.atlas.scripted import (
    CLIENT_ID,
    CLIENT_SECRET,
    Answer,
    Recorded,
    ScriptedAtlas,
    basic,
    failure,
    html,
    json_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.atlas.conftest import MemoryRing, Surroundings

V = "2023-02-01"
OK = json_answer({"ok": 1})
REFUSED = failure(401, "UNAUTHORIZED", "token expired")


def bearers(atlas: ScriptedAtlas) -> list[str | None]:
    return [request.headers.get("authorization") for request in atlas.requests]


def token_files(around: Surroundings) -> list[Path]:
    from pathlib import Path

    return list(Path(around.environment["HOME"], ".cache", "asp-toolkit", "tokens").iterdir())


class TestServiceAccount:
    """Its token is fetched once, kept encrypted, and renewed."""

    def test_one_token_for_all_calls(self, around: Surroundings) -> None:
        with ScriptedAtlas(OK, OK) as atlas:
            api = around.api(atlas.account)
            api.get("/x", version=V)
            api.post("/x", {}, version=V)
        assert bearers(atlas) == ["Bearer token-1"] * 2
        (asked,) = atlas.token_requests
        assert asked.headers["authorization"] == basic(CLIENT_ID, CLIENT_SECRET)
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        assert asked.headers["accept"] == "application/json"
        assert asked.form == {"grant_type": "client_credentials"}
        assert {"token-1", CLIENT_SECRET} <= around.secrets

    def test_the_next_process_uses_it_too(self, around: Surroundings) -> None:
        with ScriptedAtlas(OK, OK) as atlas:
            around.api(atlas.account).get("/x", version=V)
            around.secrets.clear()
            around.api(atlas.account).get("/x", version=V)
        assert bearers(atlas) == ["Bearer token-1"] * 2
        assert len(atlas.token_requests) == 1
        assert "token-1" in around.secrets

    def test_nothing_on_disk_is_in_clear(self, around: Surroundings) -> None:
        with ScriptedAtlas(OK) as atlas:
            around.api(atlas.account).get("/x", version=V)
        (file,) = token_files(around)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        content = file.read_bytes()
        for part in ("token-1", CLIENT_ID, CLIENT_SECRET, "access_token"):
            assert part.encode() not in content
            assert base64.b64encode(part.encode())[:12] not in content

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda content: b"",
            lambda content: content[:-1],
            lambda content: content[:60],
            lambda content: b"x" + content[1:],
            lambda content: content.replace(content[14:16], b"zz", 1),
            lambda content: b"\x00" * 5000,
        ],
    )
    def test_a_damaged_file_is_ignored(
        self, around: Surroundings, spoil: Callable[[bytes], bytes]
    ) -> None:
        with ScriptedAtlas(OK, OK, OK) as atlas:
            around.api(atlas.account).get("/x", version=V)
            (file,) = token_files(around)
            file.write_bytes(spoil(file.read_bytes()))
            around.api(atlas.account).get("/x", version=V)
            around.api(atlas.account).get("/x", version=V)
        assert bearers(atlas) == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]

    def test_no_place_for_a_file(self, around: Surroundings, tmp_path: Path) -> None:
        (tmp_path / ".cache").write_text("a file, not a folder")
        with ScriptedAtlas(OK) as atlas:
            assert around.api(atlas.account).get("/x", version=V)

    def test_it_is_renewed_shortly_before_its_end(self, around: Surroundings) -> None:
        with ScriptedAtlas(*[OK] * 4) as atlas:
            api = around.api(atlas.account)
            for later_s in (0, 3539, 2, 3000):
                around.now_s += later_s
                api.get("/x", version=V)
        assert bearers(atlas) == ["Bearer token-1"] * 2 + ["Bearer token-2"] * 2

    @pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
    def test_it_is_renewed_once_on_a_401(self, around: Surroundings, method: str) -> None:
        body: list[Any] = [{}] if method in ("post", "patch") else []
        with ScriptedAtlas(REFUSED, OK) as atlas:
            getattr(around.api(atlas.account), method)("/x", *body, version=V)
        assert bearers(atlas) == ["Bearer token-1", "Bearer token-2"]
        assert around.waits == []

    def test_a_second_401_is_the_end(self, around: Surroundings) -> None:
        with (
            ScriptedAtlas(REFUSED, REFUSED, OK) as atlas,
            pytest.raises(PermissionDenied, match="token expired") as caught,
        ):
            around.api(atlas.account).get("/x", version=V)
        assert len(atlas.requests) == 2
        assert "the service account of the config's `atlas`" in caught.value.hint
        assert caught.value.exit_code == ExitCode.PERMISSION

    def test_a_wrong_secret(self, around: Surroundings) -> None:
        with ScriptedAtlas() as atlas, pytest.raises(PermissionDenied) as caught:
            around.api({**atlas.account, "client_secret": "wrong-one"}).get("/x", version=V)
        assert "POST /api/oauth/token: 401 Unauthorized: no such service account" in str(
            caught.value
        )
        assert "wrong-one" not in str(caught.value.to_json())
        assert atlas.requests == []

    @pytest.mark.parametrize(
        ("answer", "error", "said"),
        [
            (json_answer({"error": "invalid_client"}, 400), PermissionDenied, "invalid_client"),
            (Answer(403), PermissionDenied, "no body"),
            (html(502), Temporary, "Bad gateway"),
            (Answer(200), UnexpectedReply, "has no body"),
            (html(200), UnexpectedReply, "text/html"),
            (json_answer({"token_type": "Bearer"}), UnexpectedReply, "no access_token"),
            (json_answer({"access_token": ""}), UnexpectedReply, "no access_token"),
            (json_answer({"access_token": "t", "expires_in": "x"}), UnexpectedReply, "expires_in"),
        ],
    )
    def test_what_the_token_endpoint_may_say(
        self, around: Surroundings, answer: Answer, error: type[AspError], said: str
    ) -> None:
        with ScriptedAtlas() as atlas, pytest.raises(error, match=said):
            atlas.token_answers = [answer] * 5
            around.api(atlas.account).post("/x", {}, version=V)
        assert atlas.requests == []

    def test_a_token_endpoint_that_is_down_for_a_moment(self, around: Surroundings) -> None:
        with ScriptedAtlas(OK) as atlas:
            atlas.token_answers = [Answer(503), Answer(dropped=True)]
            assert around.api(atlas.account).post("/x", {}, version=V) == {"ok": 1}
        assert len(atlas.token_requests) == 3


@given(st.binary(max_size=300))
def test_no_content_is_mistaken_for_a_token(content: bytes) -> None:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        file = TokenFile(Path(folder), "https://x", "id", "secret")
        file.path.write_bytes(b"asp-sealed 1 " + content)
        assert file.read() is None


def test_a_token_of_another_account_is_none(tmp_path: Path) -> None:
    file = TokenFile(tmp_path, "https://x", "id", "secret")
    file.write(Token("t", 5.0))
    assert file.read() == Token("t", 5.0)
    for other in (("https://y", "id", "secret"), ("https://x", "ie", "secret")):
        elsewhere = TokenFile(tmp_path, *other)
        elsewhere.path.write_bytes(file.path.read_bytes())
        assert elsewhere.read() is None
    assert TokenFile(tmp_path, "https://x", "id", "rotated").read() is None
    assert len(list(tmp_path.iterdir())) == 3


class TestApiKey:
    """Digest: the answer to the challenge, checked by the rules of RFC 7616."""

    KEY: ClassVar[dict[str, str]] = {"public_key": "abcdefgh", "private_key": "0a1b-secret"}

    def challenge(self, nonce: str, **more: str) -> Answer:
        fields = {"realm": "MMS Public API", "domain": "", "nonce": nonce, "algorithm": "MD5"}
        fields |= {"qop": "auth"} | more
        said = ", ".join(f'{name}="{value}"' for name, value in fields.items()) + ", stale=false"
        return Answer(401, headers={"WWW-Authenticate": f"Digest {said}"})

    def check(self, request: Recorded, nonce: str, hashed: Callable[[bytes], Any]) -> None:
        """That the request's own answer to the challenge is right."""
        kind, _, said = request.headers["authorization"].partition(" ")
        given = parse_keqv_list(parse_http_list(said))
        assert kind == "Digest"
        assert (given["username"], given["nonce"]) == ("abcdefgh", nonce)
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        uri = request.path + (query and f"?{query}")
        assert given["uri"] == uri

        def word(*parts: str) -> str:
            return str(hashed(":".join(parts).encode()).hexdigest())

        who = word("abcdefgh", "MMS Public API", "0a1b-secret")
        what = word(request.method, uri)
        middle = [nonce, given["nc"], given["cnonce"], "auth"]
        assert given["response"] == word(who, *middle, what)
        assert re.fullmatch("[0-9a-f]{8}", given["nc"])

    @pytest.mark.parametrize(
        ("name", "hashed"), [("MD5", hashlib.md5), ("SHA-256", hashlib.sha256)]
    )
    def test_the_answer_to_a_challenge(
        self, around: Surroundings, name: str, hashed: Callable[[bytes], Any]
    ) -> None:
        answers = [self.challenge("n1", algorithm=name), OK, OK, self.challenge("n2"), OK]
        with ScriptedAtlas(*answers) as atlas:
            api = around.api({"url": atlas.url, **self.KEY})
            api.post("/a%20b", {"z": 1, "a": 2}, version=V)
            api.get("/x", version=V, query={"pageNum": "2"})
            api.patch("/x", {"y": 1}, version=V)
        first, second, reused, stale, again = atlas.requests
        assert "authorization" not in first.headers
        assert first.body == second.body == b'{"z":1,"a":2}'
        assert stale.body == again.body == b'{"y":1}'
        self.check(second, "n1", hashed)
        self.check(reused, "n1", hashed)
        self.check(again, "n2", hashlib.md5)
        assert "0a1b-secret" in around.secrets

    def test_a_wrong_key(self, around: Surroundings) -> None:
        answers = [self.challenge("n1"), failure(401, "INVALID_KEY", "no such key")]
        with ScriptedAtlas(*answers) as atlas, pytest.raises(PermissionDenied) as caught:
            around.api({"url": atlas.url, **self.KEY}).post("/x", {}, version=V)
        assert "no such key" in caught.value.message
        assert "the API key of the config's `atlas`" in caught.value.hint
        assert len(atlas.requests) == 2

    @pytest.mark.parametrize("said", ["Digest", 'Digest realm="x"', 'Basic realm="x"'])
    def test_a_challenge_that_is_none(self, around: Surroundings, said: str) -> None:
        answer = Answer(401, headers={"WWW-Authenticate": said})
        refused = pytest.raises((UnexpectedReply, PermissionDenied))
        with ScriptedAtlas(answer) as atlas, refused:
            around.api({"url": atlas.url, **self.KEY}).post("/x", {}, version=V)

    def test_it_downloads_too(self, around: Surroundings) -> None:
        from tests.atlas.scripted import gzip_answer

        with ScriptedAtlas(self.challenge("n1"), gzip_answer(b"log")) as atlas:
            api = around.api({"url": atlas.url, **self.KEY})
            assert b"".join(api.download("/x", version=V)) == b"log"


def test_without_credentials(around: Surroundings) -> None:
    with ScriptedAtlas(OK, REFUSED) as atlas:
        around.environment["MONGODB_ATLAS_AUTH_TYPE"] = "no_auth"
        api = around.api(atlas.url)
        api.get("/x", version=V)
        with pytest.raises(PermissionDenied):
            api.get("/x", version=V)
    assert bearers(atlas) == [None, None]


def test_a_token_of_somebody_else(around: Surroundings) -> None:
    around.environment["MONGODB_ATLAS_ACCESS_TOKEN"] = "borrowed"
    with ScriptedAtlas(OK, REFUSED) as atlas:
        api = around.api(atlas.url)
        api.get("/x", version=V)
        with pytest.raises(PermissionDenied, match="token expired"):
            api.get("/x", version=V)
    assert bearers(atlas) == ["Bearer borrowed"] * 2


def jwt(around: Surroundings, life_s: float, name: str = "me") -> str:
    """A token as Atlas gives it to a person; its signature is none."""
    parts = [{"alg": "RS256"}, {"sub": name, "exp": int(around.now_s + life_s)}]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(part.rstrip("=") for part in coded), "signature"])


class TestLogin:
    """What `atlas auth login` left is used, renewed and written back."""

    def profile(self, url: str, access: str, **more: str) -> str:
        lines = {"auth_type": "user_account", "ops_manager_url": url, "access_token": access}
        lines |= {"refresh_token": "refresh-0"} | more
        text = "\n".join(f'{name} = "{value}"' for name, value in lines.items())
        return f'# mine\nversion = 2\n\n[other]\norg_id = "o" # keep\n\n[Default]\n{text}\n'

    def test_a_token_that_holds(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        access = jwt(around, 3600)
        with ScriptedAtlas(OK) as atlas:
            file = config_toml(self.profile(atlas.url, access))
            before = file.read_bytes()
            around.api({"profile": "default"}).get("/x", version=V)
        assert bearers(atlas) == [f"Bearer {access}"]
        assert atlas.token_requests == []
        assert file.read_bytes() == before
        assert {access, "refresh-0"} <= around.secrets

    def test_an_expired_token_is_renewed_and_written_back(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        with ScriptedAtlas(OK) as atlas:
            file = config_toml(self.profile(atlas.url, jwt(around, -1)))
            around.api({"profile": "default"}).get("/x", version=V)
        assert bearers(atlas) == ["Bearer token-1"]
        (asked,) = atlas.token_requests
        assert asked.path == "/api/private/unauth/account/device/token"
        assert asked.form == {
            "client_id": "0oabtxactgS3gHIR0297",
            "refresh_token": "refresh-0",
            "scope": "openid profile offline_access",
            "grant_type": "refresh_token",
        }
        assert "authorization" not in asked.headers
        assert file.read_text() == self.profile(atlas.url, "token-1", refresh_token="refresh-1")
        assert file.stat().st_mode & 0o777 == 0o600
        assert {"token-1", "refresh-1"} <= around.secrets

    def test_the_file_may_be_a_link(
        self, around: Surroundings, config_toml: Callable[[str], Path], tmp_path: Path
    ) -> None:
        with ScriptedAtlas(OK) as atlas:
            file = config_toml(self.profile(atlas.url, jwt(around, -1)))
            real = file.rename(tmp_path / "dotfile.toml")
            file.symlink_to(real)
            around.api({"profile": "default"}).get("/x", version=V)
        assert file.is_symlink()
        assert "token-1" in real.read_text()

    def test_a_revoked_token_is_renewed_once(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        with ScriptedAtlas(REFUSED, OK, OK) as atlas:
            config_toml(self.profile(atlas.url, "opaque"))
            api = around.api({"profile": "default"})
            api.post("/x", {}, version=V)
            api.get("/x", version=V)
        assert bearers(atlas) == ["Bearer opaque", "Bearer token-1", "Bearer token-1"]

    def test_an_expired_login(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        with ScriptedAtlas() as atlas:
            file = config_toml(self.profile(atlas.url, jwt(around, -1)))
            before = file.read_bytes()
            atlas.token_answers = [failure(401, "INVALID_REFRESH_TOKEN", "it has expired")]
            with pytest.raises(PermissionDenied, match="it has expired") as caught:
                around.api({"profile": "default"}).get("/x", version=V)
        assert caught.value.hint == "log in again: atlas auth login --profile default"
        assert file.read_bytes() == before
        assert "refresh-0" not in str(caught.value.to_json())

    def test_a_refresh_token_is_never_sent_twice(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        with ScriptedAtlas() as atlas:
            config_toml(self.profile(atlas.url, jwt(around, -1)))
            atlas.token_answers = [Answer(503)]
            with pytest.raises(Temporary):
                around.api({"profile": "default"}).get("/x", version=V)
        assert len(atlas.token_requests) == 1
        assert around.waits == []

    def test_the_key_ring_of_the_atlas_cli(
        self, around: Surroundings, config_toml: Callable[[str], Path], ring: MemoryRing
    ) -> None:
        coded = base64.b64encode(jwt(around, -1).encode()).decode()
        ring.by_cli("default", access_token=f"go-keyring-base64:{coded}", refresh_token="refresh-0")
        with ScriptedAtlas(OK, OK) as atlas:
            file = config_toml(f'[default]\nauth_type = "user_account"\nbase_url = "{atlas.url}"')
            before = file.read_bytes()
            around.api({"profile": "default"}).get("/x", version=V)
            around.api({"profile": "default"}).get("/x", version=V)
        assert len(atlas.token_requests) == 1
        kept = base64.b64encode(b"token-1").decode()
        # What the Atlas CLI finds first is the new value, in the form it wrote itself.
        assert ring.get_password("atlascli_default", "access_token") == f"go-keyring-base64:{kept}"
        assert ring.get_password("atlascli_default", "refresh_token") == "refresh-1"
        assert file.read_bytes() == before

    def test_a_key_ring_that_cannot_be_written(
        self,
        around: Surroundings,
        config_toml: Callable[[str], Path],
        ring: MemoryRing,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from keyring.errors import PasswordSetError

        def refuse(*_: str) -> None:
            raise PasswordSetError("read only")

        ring.by_cli("default", access_token=jwt(around, -1), refresh_token="refresh-0")
        monkeypatch.setattr(ring, "set_password", refuse)
        with ScriptedAtlas() as atlas:
            config_toml(f'[default]\nauth_type = "user_account"\nbase_url = "{atlas.url}"')
            with pytest.raises(EnvironmentMissing, match="read only") as caught:
                around.api({"profile": "default"}).get("/x", version=V)
        assert "atlas auth login" in caught.value.hint

    def test_the_dedicated_authorization_server(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        with ScriptedAtlas() as issuer, ScriptedAtlas(OK) as atlas:
            issuer.says(json_answer({"access_token": "fresh", "expires_in": 60}))
            config_toml(
                self.profile(atlas.url, jwt(around, -1), auth_type="user_delegation")
                + "[Default.auth_server_metadata.metadata]\n"
                + f'token_endpoint = "{issuer.url}/oauth2/token"\n'
            )
            around.api({"profile": "default"}).get("/x", version=V)
        (asked,) = issuer.requests
        assert asked.path == "/oauth2/token"
        assert sorted(asked.form) == ["client_id", "grant_type", "refresh_token"]
        assert bearers(atlas) == ["Bearer fresh"]

    def test_a_login_of_the_environment(self, around: Surroundings) -> None:
        around.environment |= {
            "MONGODB_ATLAS_ACCESS_TOKEN": jwt(around, -1),
            "MONGODB_ATLAS_REFRESH_TOKEN": "refresh-0",
        }
        with ScriptedAtlas(OK, OK) as atlas:
            api = around.api(atlas.url)
            api.get("/x", version=V)
            api.get("/x", version=V)
        assert bearers(atlas) == ["Bearer token-1"] * 2

    def test_two_at_once_renew_it_once(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        with ScriptedAtlas(OK, OK, OK, OK) as atlas:
            config_toml(self.profile(atlas.url, jwt(around, -1)))
            atlas.token_answers = [
                json_answer(
                    {"access_token": jwt(around, 9000), "refresh_token": "r", "expires_in": 9000}
                )
            ]
            apis = [around.api({"profile": "default"}) for _ in range(4)]
            threads = [
                threading.Thread(target=api.get, args=("/x",), kwargs={"version": V})
                for api in apis
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(atlas.token_requests) == 1
        assert len(set(bearers(atlas))) == 1

    def test_waiting_for_the_other_process_can_be_cancelled(
        self, around: Surroundings, config_toml: Callable[[str], Path]
    ) -> None:
        import fcntl

        with ScriptedAtlas(OK) as atlas:
            config_toml(self.profile(atlas.url, jwt(around, -1)))
            around.api({"profile": "default"}).get("/x", version=V)
            (lock,) = (file for file in token_files(around) if file.suffix == ".lock")
            config_toml(self.profile(atlas.url, jwt(around, -1)))
            around.cancelled = True
            with lock.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                with pytest.raises(Interrupted, match="another process renews"):
                    around.api({"profile": "default"}).get("/x", version=V)


@given(st.text())
def test_no_text_breaks_the_reading_of_an_expiry(text: str) -> None:
    assert expiry_s(text) is None or "." in text
    assert expiry_s(f"a.{text}.c") is None or text


def test_the_key_ring_that_the_environment_names(tmp_path: Path) -> None:
    """A process finds the key ring that PYTHON_KEYRING_BACKEND names, as a user would set it."""
    (tmp_path / "my_ring.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class Ring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, service, name):\n"
        "        return {'client_id': 'i', 'client_secret': 's3cret'}.get(name)\n"
        "    def set_password(self, service, name, value): ...\n"
        "    def delete_password(self, service, name): ...\n"
    )
    folder = tmp_path / ".config" / "atlascli"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("version = 2\n[default]\n")
    program = (
        "import os\nfrom asp_utils.clients.atlas.site import site_of\n"
        "print(site_of(None, environment=os.environ).found)"
    )
    environment = {
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "PYTHON_KEYRING_BACKEND": "my_ring.Ring",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "the service account of profile default (key ring)\n", done.stderr
