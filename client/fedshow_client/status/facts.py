"""The answer of `fedshow client status --json`; `--schema` prints this as JSON schema."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fedshow.roles import Role

State = Literal[
    "tuning",
    "queued",
    "tuned",
    "submitted",
    "admitted",
    "refused",
    "failed",
    "held",
    "withdrawn",
]


class Facts(BaseModel):
    """A part of the answer."""

    model_config = ConfigDict(frozen=True)


class ReleaseStatus(Facts):
    """The newest release that a server told of."""

    id: str
    concepts: list[str]


class CopyStatus(Facts):
    """The copy of a server's newest release that the daemon keeps here."""

    folder: str
    form: Literal["diffusers", "lora"]
    release: str | None = Field(
        description="The release that lies there; null: none yet, or no more."
    )
    trouble: str = Field(description="Why it is not the newest; empty if nothing is wrong.")


class ServerStatus(Facts):
    """One joined server, as the daemon last found it."""

    name: str
    address: str
    node: str = Field(description="What this client is called there.")
    role: Role = Field(description="What it may do there.")
    base: str
    signing_key: str | None = Field(
        description="What its releases must be signed with; null: it had no key when it was joined."
    )
    reached: float = Field(description="Unix time of its last answer; 0: never.")
    trouble: str = Field(
        description="What keeps it from answering, or our node there from work, now; empty: nothing."
    )
    release: ReleaseStatus | None = Field(description="Null: the server told of none.")
    withdrawn: bool = Field(
        description="Whether there is no newest release because what it held was withdrawn."
    )
    kept: CopyStatus | None = Field(description="Null: no copy is kept; see `keep_release`.")


class ConceptStatus(Facts):
    """One concept on its way from images to a server."""

    job: int = Field(description="Number of the job; a concept that was added again has several.")
    name: str
    class_word: str = Field(serialization_alias="class")
    server: str
    state: State = Field(description="`tuning` only while a living daemon is at work on it.")
    added: float = Field(description="Unix time at which it was queued.")
    priority: int = Field(description="Higher ones are tuned first.")
    paused: bool = Field(description="By itself; the whole queue may be paused besides.")
    step: int = Field(description="Steps done, also when interrupted: it goes on from about here.")
    steps: int = Field(description="Steps in all; 0 before tuning began.")
    seconds: float = Field(description="Spent on these steps so far.")
    rate: float | None = Field(description="Steps in a second.")
    seconds_left: float | None = Field(description="Of its own tuning; null: not known yet.")
    eta_seconds: float | None = Field(
        description="Until it is tuned, with all that comes before it; null: not known, or not its turn."
    )
    reason: str = Field(
        description="Why it failed, was refused, or waits; empty if nothing is wrong."
    )
    not_before: float = Field(
        description="Unix time of the next try after a failed one; 0: any time."
    )
    visible_to: list[str] = Field(description="`everybody`, `me`, or names of nodes.")
    images: str = Field(description="Folder of the private images; never leaves this machine.")
    base: str
    options: dict[str, Any] = Field(description="Options of `fedshow tune` that were asked for.")
    report: str | None = Field(description="Page about the tuning, on this machine.")
    sha256: str = Field(description="Of the concept file; empty before it is tuned.")
    size_bytes: int


class ClientStatus(Facts):
    """Daemon, queue, servers and concepts."""

    home: str
    daemon: int | None = Field(description="Process id; null when no daemon runs.")
    paused: bool = Field(description="Whether the queue as a whole is paused.")
    eta_seconds: float | None = Field(
        description="Until all is tuned that is not paused; null: not known, or nothing is tuned now."
    )
    servers: list[ServerStatus]
    concepts: list[ConceptStatus] = Field(
        description="First those to be tuned, in that order; then the others, oldest first."
    )
