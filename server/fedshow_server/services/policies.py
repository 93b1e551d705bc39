"""Who may call what over gRPC, and which kinds of callers there are; `web/doors.py` has HTTP's table."""

from enum import Enum

from fedshow.roles import Role

CONCEPTS = "/fedshow.v1.ConceptService/"
RELEASES = "/fedshow.v1.ReleaseService/"
ADMIN = "/fedshow.v1.AdminService/"
HEALTH = "/grpc.health.v1.Health/"


class Policy(Enum):
    """Who gets in; the value tells the roles that do."""

    ANYBODY = None
    KEYHOLDER = "a node that shows the key it hands over with"
    MEMBER = frozenset(Role)
    CONTRIBUTOR = frozenset({Role.CONTRIBUTOR, Role.OWNER})
    OWNER = frozenset({Role.OWNER})

    def admits(self, role: Role) -> bool:
        """Whether a node of this role, known by its token, gets in."""
        return isinstance(self.value, frozenset) and role in self.value


POLICIES: dict[str, Policy] = {
    f"{HEALTH}Check": Policy.ANYBODY,
    f"{HEALTH}Watch": Policy.ANYBODY,
    f"{CONCEPTS}ListConcepts": Policy.MEMBER,
    f"{CONCEPTS}SubmitConcept": Policy.CONTRIBUTOR,
    f"{CONCEPTS}WithdrawConcept": Policy.CONTRIBUTOR,
    f"{CONCEPTS}ShowConcept": Policy.CONTRIBUTOR,
    f"{RELEASES}ListReleases": Policy.MEMBER,
    f"{RELEASES}GetRelease": Policy.MEMBER,
    f"{RELEASES}WatchReleases": Policy.MEMBER,
    f"{RELEASES}DownloadFile": Policy.MEMBER,
    f"{ADMIN}InviteNode": Policy.OWNER,
    f"{ADMIN}ListNodes": Policy.OWNER,
    f"{ADMIN}RevokeNode": Policy.OWNER,
    f"{ADMIN}ListAllConcepts": Policy.OWNER,
    f"{ADMIN}RemoveConcept": Policy.OWNER,
    f"{ADMIN}ApproveConcept": Policy.OWNER,
    f"{ADMIN}RejectConcept": Policy.OWNER,
}
"""Method to policy: one without an entry is closed."""
