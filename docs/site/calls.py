"""The page of all gRPC calls, from the comments in protos/."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

PROTOS = Path(__file__).parents[2] / "protos"
HEAD = """# gRPC

`fedshow.v1`, on the port after the HTTPS port, with TLS and a node's token (`authorization: Bearer
…`). Every call has a deadline; errors carry `google.rpc.ErrorInfo` with the reason. The files lie
in `protos/fedshow/v1`.
"""
Comments = Mapping[tuple[int, ...], str]
"""What stands above a thing, by its place in the file."""
MESSAGES, ENUMS, SERVICES, INNER = 4, 5, 6, 2
"""Numbers of these fields in FileDescriptorProto; `INNER` of fields, values and methods in each."""


def page() -> str:
    """The page in Markdown."""
    files = sorted(PROTOS.glob("fedshow/v1/*.proto"))
    parts = [line for file in _described(files) for line in _file(file)]
    return "\n".join([HEAD, *parts])


def _described(files: list[Path]) -> Iterator[FileDescriptorProto]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "described"
        options = ("--include_source_info", f"--descriptor_set_out={out}", f"-I{PROTOS}")
        well_known = Path(protoc.__file__).parent / "_proto"
        failed = protoc.main(["protoc", f"-I{well_known}", *options, *map(str, files)])
        assert not failed, "protos/ cannot be read"
        yield from FileDescriptorSet.FromString(out.read_bytes()).file


def _file(file: FileDescriptorProto) -> Iterator[str]:
    told = {
        tuple(place.path): " ".join(place.leading_comments.split())
        for place in file.source_code_info.location
    }
    for number, service in enumerate(file.service):
        yield from _service(service, told, (SERVICES, number))
    for number, message in enumerate(file.message_type):
        yield from _message(message, told, (MESSAGES, number))
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, told, (ENUMS, number))


def _service(
    service: ServiceDescriptorProto, told: Comments, place: tuple[int, ...]
) -> Iterator[str]:
    yield f"## {service.name}\n\n| call | takes | gives | |\n|---|---|---|---|"
    for number, call in enumerate(service.method):
        gives = ("a stream of " if call.server_streaming else "") + _link(call.output_type)
        said = told.get((*place, INNER, number), "")
        yield f"| {call.name} | {_link(call.input_type)} | {gives} | {said} |"
    yield ""


def _message(message: DescriptorProto, told: Comments, place: tuple[int, ...]) -> Iterator[str]:
    yield f"### {message.name}\n\n{told.get(place, '')}\n"
    if message.field:
        yield "| field | type | |\n|---|---|---|"
    for number, field in enumerate(message.field):
        yield f"| `{field.name}` | {_type(field)} | {told.get((*place, INNER, number), '')} |"
    yield ""


def _enum(enum: EnumDescriptorProto, told: Comments, place: tuple[int, ...]) -> Iterator[str]:
    yield f"### {enum.name}\n\n{told.get(place, '')}\n\n| value | |\n|---|---|"
    for number, value in enumerate(enum.value):
        yield f"| `{value.name}` | {told.get((*place, INNER, number), '')} |"
    yield ""


def _type(field: FieldDescriptorProto) -> str:
    kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    many = "several " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    return many + (_link(field.type_name) if field.type_name else kind)


def _link(name: str) -> str:
    short = name.rpartition(".")[2]
    return f"[{short}](#{short.lower()})" if name.startswith(".fedshow.") else f"`{name[1:]}`"
