"""Writes the document: `python -m services.gateway.openapi CONTRACTS FILE`; `make openapi` says it."""

import argparse
import json
import pathlib

from google.protobuf import descriptor_pb2

from services.gateway.openapi.document import document


def written(contracts: bytes) -> str:
    """The document as the text of its file, of a serialized FileDescriptorSet."""
    made = document(descriptor_pb2.FileDescriptorSet.FromString(contracts))
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.openapi", description=__doc__)
    parser.add_argument("contracts", type=pathlib.Path, help="what protoc --include_source_info wrote of protos/")
    parser.add_argument("file", type=pathlib.Path, help="where the document goes")
    arguments = parser.parse_args()
    arguments.file.write_text(written(arguments.contracts.read_bytes()), encoding="utf-8")


if __name__ == "__main__":
    main()
