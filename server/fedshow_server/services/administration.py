"""What the server's owner can do, in the contract's words: the same at its command line and from afar."""

# ruff: noqa: N802, ARG002  # names and signatures are the contract's

from datetime import timedelta

from fedshow.concepts import check_name
from fedshow.errors import InvalidInput
from fedshow.joining import JoinCode, check_node_name
from fedshow.roles import Role
from fedshow.v1 import admin_pb2 as pb
from fedshow_server.folder import DataFolder
from fedshow_server.members.invitations import LONGEST_HOURS, SHORTEST_HOURS
from fedshow_server.services.concepts import message_of
from fedshow_server.store import Node, Store
from fedshow_server.upkeep.certificates import fingerprint

ROLES = {
    Role.OWNER: pb.NODE_ROLE_OWNER,
    Role.CONTRIBUTOR: pb.NODE_ROLE_CONTRIBUTOR,
    Role.DOWNLOADER: pb.NODE_ROLE_DOWNLOADER,
}
ROLE_OF = {number: role for role, number in ROLES.items()}


class Administration:
    """Every call of AdminService on one server's memory; each change is in the audit log."""

    def __init__(self, store: Store, folder: DataFolder) -> None:
        self._store = store
        self._folder = folder

    def InviteNode(self, request: pb.InviteNodeRequest) -> pb.InviteNodeResponse:
        """A join code. Raises InvalidInput."""
        facts = self._folder.facts()
        name, role = check_node_name(request.name), ROLE_OF.get(request.role)
        if role is None:
            raise InvalidInput(f"role {request.role}: use one of {', '.join(Role)}")
        if not SHORTEST_HOURS <= request.hours <= LONGEST_HOURS:
            raise InvalidInput(f"{request.hours:g} hours: use {SHORTEST_HOURS} to {LONGEST_HOURS}")
        secret = self._store.members.invite(name, timedelta(hours=request.hours), role)
        described = self._folder.base()
        code = JoinCode(
            address=facts.address,
            ca_sha256=fingerprint(self._folder.certificates.ca_pem),
            secret=secret,
            base=described.card.name if described else "",
        )
        return pb.InviteNodeResponse(code=code.encode())

    def ListNodes(self, request: pb.ListNodesRequest) -> pb.ListNodesResponse:
        """All nodes."""
        return pb.ListNodesResponse(nodes=map(_node, self._store.members.nodes()))

    def RevokeNode(self, request: pb.RevokeNodeRequest) -> pb.RevokeNodeResponse:
        """Cuts a node off. Raises NotFound."""
        return pb.RevokeNodeResponse(node=_node(self._store.members.revoke(request.name)))

    def ListAllConcepts(self, request: pb.ListAllConceptsRequest) -> pb.ListAllConceptsResponse:
        """All concepts, newest first."""
        return pb.ListAllConceptsResponse(concepts=map(message_of, self._store.concepts.all()))

    def RemoveConcept(self, request: pb.RemoveConceptRequest) -> pb.RemoveConceptResponse:
        """Takes a concept out. Raises InvalidInput, NotFound."""
        concept = self._store.concepts.withdraw(check_name(request.name))
        return pb.RemoveConceptResponse(concept=message_of(concept))

    def ApproveConcept(self, request: pb.ApproveConceptRequest) -> pb.ApproveConceptResponse:
        """Lets a pending concept in. Raises InvalidInput, NotFound."""
        concept = self._store.concepts.approve(check_name(request.name), _file_in(request))
        return pb.ApproveConceptResponse(concept=message_of(concept))

    def RejectConcept(self, request: pb.RejectConceptRequest) -> pb.RejectConceptResponse:
        """Refuses a pending concept. Raises InvalidInput, NotFound."""
        concept = self._store.concepts.reject(check_name(request.name), _file_in(request))
        return pb.RejectConceptResponse(concept=message_of(concept))


def _file_in(request: pb.ApproveConceptRequest | pb.RejectConceptRequest) -> str | None:
    return request.sha256 if request.HasField("sha256") else None


def _node(node: Node) -> pb.Node:
    message = pb.Node(name=node.name, role=ROLES[node.role], node_id=node.flower_id or 0)
    message.joined.FromDatetime(node.joined)
    if node.revoked is not None:
        message.revoked.FromDatetime(node.revoked)
    return message
