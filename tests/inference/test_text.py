"""Text that protobuf can carry."""

from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.inference.text import valid_text


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_becomes_one_that_protobuf_takes(text: str) -> None:
    made = valid_text(text)
    assert generation.Delta(text=made).text == made
    assert len(made) <= len(text)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert made == text
