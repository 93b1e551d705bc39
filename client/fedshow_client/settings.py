"""Settings of the client: flags, then FEDSHOW_… in the environment, then client.toml at home."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fedshow.errors import InvalidInput
from fedshow.transfer.servers import home_folder

TOML_NAME = "client.toml"


class ClientSettings(BaseSettings):
    """Everything that can be set about the daemon."""

    model_config = SettingsConfigDict(
        env_prefix="FEDSHOW_", env_ignore_empty=True, extra="forbid", frozen=True
    )

    home: Path = Field(default_factory=home_folder)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    lease_seconds: float = Field(default=60.0, gt=1)
    """How long a claimed job stays claimed without a sign of life."""
    poll_seconds: float = Field(default=2.0, gt=0)
    """Between looks at the server while it still wants something from us."""
    tune_tries: int = Field(default=3, ge=1)
    """Tries without any progress before a concept counts as failed."""
    node_silence_seconds: float = Field(default=300.0, gt=30)
    """A SuperNode that asks its server for nothing for this long is started anew."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic names them
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then the environment, then the file."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=home_folder() / TOML_NAME)
        return init_settings, env_settings, toml


def load_settings(**flags: Any) -> ClientSettings:
    """The settings; flags that are None count as not given. Raises InvalidInput."""
    try:
        return ClientSettings(**{key: value for key, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        given = str(first.get("input"))[:80]
        raise InvalidInput(f"setting {where} = {given!r}: {first['msg']}") from None
