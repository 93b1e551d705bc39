"""What the owner of a server can choose: flags, then FEDSHOW_SERVER_…, then a TOML file."""

import os
import re
import socket
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fedshow.concepts.names import CLASS
from fedshow.documents import UNKNOWN, first_fault
from fedshow.errors import InvalidInput
from fedshow.joining import NodeName
from fedshow.scoring.locating import WANTED, looks_like_scorer
from fedshow.wire import MAX_CONCEPT_BYTES
from fedshow_server import layout
from fedshow_server.upkeep.logs import Format, Level

ENVIRONMENT_PREFIX = "FEDSHOW_SERVER_"
STORE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9!_.*'()/-]*)?")
ClassWord = Annotated[str, StringConstraints(pattern=f"^(?:{CLASS.pattern})$")]
Place = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:]{2,39}\]):[0-9]{1,5}$")
]
"""HOST:PORT to listen on; port 0 is a free one."""
EVERYWHERE = ("0.0.0.0",)  # noqa: S104  # recognised, not bound


class ServerSettings(BaseSettings):
    """Everything `fedshow server run` can be told."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True)

    data: Path = Field(default_factory=lambda: Path.home() / ".fedshow-server")
    """The folder that holds everything the server remembers."""
    base: str = "toyworld"
    """The model that concepts are for: toyworld, a folder, a file or a hub id."""
    listen: Place = "127.0.0.1:8443"
    """The public HTTPS port; port 0 takes a free one."""
    grpc_listen: Place | None = None
    """None: same host, next port."""
    public_name: NodeName | None = None
    """The host name that clients use; None: the host listened on, or this machine's name."""
    database: str | None = None
    """URL, sqlite:///FILE or postgresql://…; None: SQLite in the data folder."""
    store: str | None = None
    """Where content lies, a folder or s3://BUCKET/PREFIX; None: in the data folder."""
    quiet_seconds: float = Field(default=5.0, ge=0, le=86400)
    """A release is fused when this long no concept came or went."""
    max_concept_bytes: int = Field(default=256 << 20, ge=1, le=MAX_CONCEPT_BYTES)
    """Larger concept files are refused."""
    log_format: Format = "text"
    """What log lines on stderr are: text for people, or JSON for machines."""
    log_level: Level = "info"
    """The least that is logged: debug, info, warning or error."""
    joins_per_minute: int = Field(default=60, ge=1)
    """Attempts to join from one address."""
    wrong_tokens_per_minute: int = Field(default=60, ge=1)
    """Wrong tokens and join codes from one address; then only those are taken that were good before."""
    calls_per_minute: int = Field(default=1200, ge=1)
    """Calls of one node, over gRPC and HTTP."""
    calls_at_once: int = Field(default=32, ge=2)
    """Calls of one node that are open at the same time: downloads, its watch, all else."""
    offers_at_once: int = Field(default=100, ge=1)
    """Concepts of one node that were offered and are not collected yet."""
    protected_words: tuple[ClassWord, ...] = ()
    """Words of prompts that no concept may be called, and that none may mean."""
    free_disk_bytes: int = Field(default=1 << 30, ge=0)
    """No concept is taken that would leave less free than this."""
    session_hours: float = Field(default=12.0, gt=0, le=24 * 30)
    """So long somebody stays signed in with a browser."""
    drain_seconds: int = Field(default=10, ge=0, le=3600)
    """So long calls that run may finish when the server is told to end."""
    metrics_token: SecretStr | None = None
    """Whoever shows it may read /metrics; None or empty: this machine may."""
    drawings_at_once: int = Field(default=4, ge=0)
    """Drawings of one node that are not finished; 0: nobody may draw here."""
    drawing_pictures: int = Field(default=8, ge=1, le=64)
    """Pictures of one drawing, at most."""
    drawing_steps: int = Field(default=100, ge=1, le=1000)
    """Steps of one drawing, at most."""
    drawing_pixels: int = Field(default=1 << 20, ge=64)
    """Pixels of one picture, at most."""
    drawings_kept_hours: float = Field(default=24 * 7.0, gt=0)
    """So long pictures are kept after they were drawn."""
    sample_steps: int = Field(default=20, ge=0, le=1000)
    """Steps of the pictures that the server draws of each concept, for people to look at; 0: none."""
    scorer: Path | None = None
    """CLIP, DINOv2 or ArcFace model that measures them; None: the base's own, if it has one."""
    ray: str | None = None
    """Address of the Ray cluster that fuses; None: this machine does."""

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database")
    @classmethod
    def _absolute_file(cls, value: str | None) -> str | None:
        """SQLite's file is the same one for commands that are typed elsewhere."""
        from sqlalchemy import make_url  # not for those who name none
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(value or "")
        except ArgumentError:  # whoever opens it says so
            return value
        file = url.database
        if url.get_backend_name() != "sqlite" or not file or file.startswith((":", "file:")):
            return value
        absolute = url.set(database=str(Path(file).expanduser().absolute()))
        return absolute.render_as_string(hide_password=False)

    @field_validator("scorer")
    @classmethod
    def _known_scorer(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        path = value.expanduser().absolute()
        if not looks_like_scorer(path):
            raise ValueError(f"must be {WANTED}")
        return path

    @field_validator("store")
    @classmethod
    def _known_store(cls, value: str | None) -> str | None:
        if value is None or STORE.fullmatch(value):
            return value
        if "://" in value or not value:
            raise ValueError("use a folder, or s3://BUCKET/PREFIX")
        return str(Path(value).expanduser().absolute())

    @field_validator("metrics_token")
    @classmethod
    def _no_empty_token(cls, value: SecretStr | None) -> SecretStr | None:
        """An empty one, as a compose file's variable that nobody set, would be shown by everybody."""
        return value if value and value.get_secret_value() else None

    @field_validator("listen", "grpc_listen")
    @classmethod
    def _real_port(cls, value: str | None) -> str | None:
        if value is not None and int(value.rpartition(":")[2]) > 65535:
            raise ValueError("a port is at most 65535")
        return value

    @property
    def host(self) -> str:
        """The host part of `listen`."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port part of `listen`."""
        return int(self.listen.rpartition(":")[2])

    @property
    def grpc_address(self) -> str:
        """Where gRPC listens."""
        return self.grpc_listen or f"{self.host}:{self.port + 1 if self.port else 0}"

    @property
    def name(self) -> str:
        """The name in certificates and join codes."""
        if self.public_name:
            return self.public_name
        spelled_out = ":" in self.host or self.host in EVERYWHERE  # no name that others could use
        return socket.gethostname() if spelled_out else self.host

    @property
    def database_url(self) -> str:
        """The database as SQLAlchemy names it."""
        return self.database or f"sqlite:///{self.data / layout.DATABASE}"

    @property
    def store_url(self) -> str:
        """Where content lies: a folder or an s3:// URL."""
        return self.store or str(self.data / layout.BLOBS)

    @property
    def growing_folders(self) -> tuple[Path, ...]:
        """What needs room on this machine: the data folder, and content's unless that lies in S3."""
        return (
            (self.data,) if STORE.fullmatch(self.store_url) else (self.data, Path(self.store_url))
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags win over the environment, the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(config: Path | None = None, **flags: Any) -> ServerSettings:
    """The settings; flags that are None count as not given. Raises InvalidInput.

    Without `config`, `server.toml` in the data folder is read when it is there.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_unknown_variables()
    if config is not None and not config.is_file():
        raise InvalidInput(f"settings file {config} does not exist")
    if config is None:
        config = _build(None, given).data / layout.SETTINGS
    return _build(config, given)


def _refuse_unknown_variables() -> None:
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in ServerSettings.model_fields}
    ours = (name for name in os.environ if name.upper().startswith(ENVIRONMENT_PREFIX))
    for variable in ours:
        if variable.upper() not in known:
            near = get_close_matches(variable.upper(), known, 1, 0.0)
            raise InvalidInput(
                f"environment variable {variable}: no such setting; did you mean {near[0]}?"
            )


def _build(config: Path | None, given: dict[str, Any]) -> ServerSettings:
    class WithFile(ServerSettings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return WithFile(**given)
    except ValidationError as error:
        fault = first_fault(error)
        source = _source_of(fault.where, config, given)
        why = fault.says
        if fault.kind == UNKNOWN:
            near = get_close_matches(fault.where, ServerSettings.model_fields, 1, 0.0)
            why = f"no such setting; did you mean {near[0]}?"
        raise InvalidInput(f"{source}: {fault.where} = {fault.given}: {why}") from None
    except (OSError, ValueError) as error:  # not readable, or no TOML
        raise InvalidInput(f"settings file {config}: {error}") from None


def _source_of(name: str, config: Path | None, given: dict[str, Any]) -> str:
    """Where the user wrote the value of a setting."""
    if name in given:
        return f"--{name.replace('_', '-')}"
    variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    return variable if variable in os.environ else f"settings file {config}"
