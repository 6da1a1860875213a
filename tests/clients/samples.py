"""A picture, a document and a recording that clients send, made here."""

import io
import wave

from services.cli.verify.media import pdf, png


def _recording() -> bytes:
    whole = io.BytesIO()
    with wave.open(whole, "wb") as written:
        written.setparams((1, 2, 8000, 800, "NONE", ""))
        written.writeframes(bytes(1600))
    return whole.getvalue()


SAMPLES = {"png": png(220, 0, 0), "pdf": pdf("A page."), "wav": _recording()}
