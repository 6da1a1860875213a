"""The OpenAPI document of both faces, made from the contracts and the codecs."""
