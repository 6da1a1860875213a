"""Features of pictures and files, which are made here."""

import binascii
import struct
import zlib

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.asking import showing
from services.cli.verify.feature import Feature
from services.cli.verify.texts import says

_SIDE = 64
_CODE = "4711"


def png(red: int, green: int, blue: int, side: int = _SIDE) -> bytes:
    """A square of one colour."""
    rows = (b"\0" + bytes((red, green, blue)) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))
        for kind, data in chunks
    )


def pdf(text: str) -> bytes:
    """A page with one line."""
    drawn = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    fonts = b"<< /Font << /F1 5 0 R >> >>"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources %s >>" % fonts,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end


_RED = conversation.Part(image=conversation.Image(data=png(220, 0, 0), media_type="image/png"))
_PAGE = conversation.Part(
    file=conversation.File(data=pdf(f"The code is {_CODE}."), media_type="application/pdf", name="code.pdf")
)

FEATURES = (
    Feature(
        "image",
        "A picture, by its bytes",
        (model.CAPABILITY_CHAT, model.CAPABILITY_IMAGES),
        (showing("Which colour is this? Answer with one word.", _RED),),
        says("red"),
    ),
    Feature(
        "file",
        "A file, by its bytes",
        (model.CAPABILITY_CHAT, model.CAPABILITY_FILES),
        (showing("Which code does this page tell? Answer with the code.", _PAGE),),
        says(_CODE),
    ),
)
