"""What server and client agree on: names in Flower's messages, paths over HTTPS, limits."""

HANDOVER = "query.handover"
"""Message type: the server asks a node for the concept file with one digest."""

REQUEST = "request"
"""ConfigRecord in the question: `sha256`."""

CONCEPT = "concept"
"""ArrayRecord in the reply, with the single array `FILE`: uint8, one safetensors file whole."""

FILE = "file"
SAFETENSORS = "safetensors"
"""The array's type word; tells Flower's numpy readers to keep their hands off."""

JOIN_PATH = "/api/join"
"""HTTPS POST, JSON `JoinRequest` to `JoinReply`; the only call without a token."""

CA_PATH = "/api/ca.pem"
"""HTTPS GET: the server's certificate authority; worth nothing before its fingerprint is checked."""

MAX_CA_BYTES = 64 << 10
"""No certificate authority is larger."""

HEALTH_PATH = "/healthz"
"""HTTPS GET: whether the server does its work, part by part."""

MAX_CONCEPT_BYTES = 1 << 30
"""No concept file of any family is larger than this."""

CHUNK_BYTES = 256 << 10
"""Payload of one chunk on a gRPC stream (measured: no gain above)."""
