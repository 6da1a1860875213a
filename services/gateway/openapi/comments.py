"""What the contracts say in words: the comment of each element."""

from collections.abc import Iterable

from google.protobuf import descriptor_pb2 as descriptor

# Numbers of fields in descriptor.proto, of which a location's path is made.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _NESTED_ENUM = 2, 3, 4
_VALUE, _METHOD = 2, 2

Path = tuple[int, ...]


class Comments:
    """Comments by the full name of what they stand before."""

    def __init__(self, files: Iterable[descriptor.FileDescriptorProto]) -> None:
        self._texts: dict[str, str] = {}
        for file in files:
            said = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
            for index, message in enumerate(file.message_type):
                self._message(said, (_MESSAGE, index), f"{file.package}.{message.name}", message)
            for index, enum in enumerate(file.enum_type):
                self._enum(said, (_ENUM, index), f"{file.package}.{enum.name}", enum)
            for index, service in enumerate(file.service):
                name = f"{file.package}.{service.name}"
                self._take(said, (_SERVICE, index), name)
                for number, method in enumerate(service.method):
                    self._take(said, (_SERVICE, index, _METHOD, number), f"{name}.{method.name}")

    def of(self, name: str) -> str:
        """What is said of an element; empty when nothing is."""
        return self._texts.get(name, "")

    def _message(self, said: dict[Path, str], path: Path, name: str, message: descriptor.DescriptorProto) -> None:
        self._take(said, path, name)
        for index, field in enumerate(message.field):
            self._take(said, (*path, _FIELD, index), f"{name}.{field.name}")
        for index, nested in enumerate(message.nested_type):
            self._message(said, (*path, _NESTED, index), f"{name}.{nested.name}", nested)
        for index, enum in enumerate(message.enum_type):
            self._enum(said, (*path, _NESTED_ENUM, index), f"{name}.{enum.name}", enum)

    def _enum(self, said: dict[Path, str], path: Path, name: str, enum: descriptor.EnumDescriptorProto) -> None:
        self._take(said, path, name)
        for index, value in enumerate(enum.value):
            self._take(said, (*path, _VALUE, index), f"{name}.{value.name}")

    def _take(self, said: dict[Path, str], path: Path, name: str) -> None:
        # Lines of one paragraph are one line; a blank line parts paragraphs.
        lines = [line for line in said.get(path, "").strip().splitlines() if "buf:lint:" not in line]
        paragraphs = "\n".join(lines).split("\n\n")
        self._texts[name] = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
