"""Settings of the daemon: flags, then FEDSHOW_CLIENT_… in the environment, then client.toml at home.

Where home is, FEDSHOW_HOME alone decides, for every command: the file lies there.
"""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fedshow.documents import UNKNOWN, Fault, first_fault
from fedshow.errors import InvalidInput
from fedshow.transfer.servers import home_folder

TOML_NAME = "client.toml"
PREFIX = "FEDSHOW_CLIENT_"


class ClientSettings(BaseSettings):
    """Everything that can be set about the daemon."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What tuning runs on."""
    lease_seconds: float = Field(default=60.0, gt=1)
    """How long a claimed job stays claimed without a sign of life."""
    poll_seconds: float = Field(default=2.0, gt=0)
    """Between looks at the server while it still wants something from us."""
    tune_tries: int = Field(default=3, ge=1)
    """Tries without any progress before a concept counts as failed."""
    max_leakage: float = Field(default=1.0, ge=0, le=1)
    """Of a concept that may leave this machine, unless it was added with a limit of its own."""
    node_silence_seconds: float = Field(default=300.0, gt=30)
    """A SuperNode that asks its server for nothing for this long is started anew."""
    keep_release: Literal["no", "diffusers", "lora"] = "no"
    """In which form a copy of each server's newest release is kept in this home; `no` deletes it."""

    page: bool = True
    """Whether the daemon serves a page to this machine's own browsers."""
    page_port: int = Field(default=8471, ge=1, le=65535)
    """Where, on 127.0.0.1; any free one when somebody else has it."""

    @property
    def home(self) -> Path:
        """Where everything is kept."""
        return home_folder()

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
    """The settings; flags that are None count as not given.

    Raises InvalidInput for a value out of range, a name that is no setting, and a file that is no
    TOML (with its line).
    """
    _refuse_unknown_variables()
    file = home_folder() / TOML_NAME
    try:
        return ClientSettings(**{key: value for key, value in flags.items() if value is not None})
    except ValidationError as error:
        raise _refusal(first_fault(error), file) from None
    except (OSError, ValueError) as error:  # no TOML, no UTF-8, not ours to read
        raise InvalidInput(f"settings file {file}: {error}") from None


def _refuse_unknown_variables() -> None:
    for variable in filter(lambda name: name.upper().startswith(PREFIX), os.environ):
        name = variable[len(PREFIX) :].lower()
        if name not in ClientSettings.model_fields:
            raise InvalidInput(f"environment variable {variable}: {_no_setting(name)}")


def _refusal(fault: Fault, file: Path) -> InvalidInput:
    if fault.kind == UNKNOWN:  # flags have no names of their own making
        return InvalidInput(f"settings file {file}: {_no_setting(fault.where)}")
    return InvalidInput(f"setting {fault.where} = {fault.given}: {fault.says}")


def _no_setting(name: str) -> str:
    if name == "home":
        return "'home' is where this file lies; FEDSHOW_HOME in the environment moves it"
    near = get_close_matches(name, ClientSettings.model_fields, 1) or ClientSettings.model_fields
    return f"{name!r} is no setting; there is {', '.join(near)}"
