"""Whether bases can be opened: the one asked about, or those of the joined servers."""

from collections.abc import Iterator
from pathlib import Path

from fedshow.doctor.finding import Finding, Question, fine, problem, warning
from fedshow.errors import FedshowError, InvalidInput, Unreachable
from fedshow.families.locating import INDEX, TOYWORLD, locate
from fedshow.transfer.servers import known_servers

OFFLINE = "unset HF_HUB_OFFLINE once, or copy the base into the cache"


def check_bases(question: Question) -> Iterator[Finding]:
    """Each base: is it there, is it whole, or does the hub have it?"""
    wanted = [question.base] if question.base else _of_joined(question.home)
    for base in wanted or [TOYWORLD]:
        try:
            yield _base(f"base {base}", base, locate(base))
        except InvalidInput as error:
            yield problem(f"base {base}", str(error), "choose another --base")


def _of_joined(home: Path) -> list[str]:
    return sorted({server.base_source for server in known_servers(home)})


def _base(about: str, base: str, located: str) -> Finding:
    """A folder is read by its family, which takes torch; a file by its header."""
    if not Path(located).exists():
        return _on_hub(about, located)
    if base == TOYWORLD:
        return fine(about, "part of fedshow", folder=located)
    if Path(located).is_dir():
        from fedshow.families.telling import family_at

        family = family_at(Path(located)).name
    else:
        from fedshow.families.checkpoint_kinds import read_checkpoint

        family = read_checkpoint(Path(located)).family
    return fine(about, f"whole, family {family}", family=family, folder=located)


def _on_hub(about: str, repo: str) -> Finding:
    from huggingface_hub import constants

    from fedshow.families.hub import in_cache, listed, refusal

    cached = in_cache(repo, INDEX)
    if constants.is_offline_mode():
        if cached is None:
            return problem(about, "is not in the hub's cache, and HF_HUB_OFFLINE is set", OFFLINE)
        return fine(about, f"in the hub's cache, {cached.parent}", cached=True)
    try:
        files = listed(repo)
    except Exception as error:
        return _not_listed(about, refusal(f"base {repo!r}", error), cached)
    if INDEX not in files:
        return problem(about, f"the hub has it, but no {INDEX} in it", "choose another --base")
    says = "in the hub's cache" if cached else f"on {constants.ENDPOINT}, not downloaded yet"
    return fine(about, says, cached=cached is not None, hub=constants.ENDPOINT)


def _not_listed(about: str, refused: FedshowError, cached: Path | None) -> Finding:
    from huggingface_hub import constants

    if not isinstance(refused, Unreachable):
        advice = "see how it is written; a private one needs: hf auth login"
        return problem(about, str(refused), advice)
    way = (
        f"curl -I {constants.ENDPOINT} says whether this machine gets there; a proxy is HTTPS_PROXY"
    )
    if cached is None:
        return problem(about, f"{refused}; it is not in the cache either", way)
    return warning(about, f"in the hub's cache, but the hub does not answer: {refused}", way)
