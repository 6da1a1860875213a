"""What a model can do."""

from hybridinference.inference.v1 import model_pb2 as model

from services.workers.vllm.abilities import Effort, abilities

NOTHING = {"chats": True, "tools": False, "effort": False, "images": False, "dimensions": False}
OPTIONAL = {
    "tools": model.CAPABILITY_TOOLS,
    "effort": model.CAPABILITY_REASONING_EFFORT,
    "images": model.CAPABILITY_IMAGES,
}


def test_a_model_that_generates_announces_only_what_it_is_set_up_for() -> None:
    plain = abilities(["generate"], **NOTHING)
    assert model.CAPABILITY_CHAT in plain
    assert model.CAPABILITY_PROVIDER_OPTIONS in plain
    assert not {*OPTIONAL.values(), model.CAPABILITY_EMBEDDINGS, model.CAPABILITY_FILES} & set(plain)
    for name, capability in OPTIONAL.items():
        assert set(abilities(["generate"], **(NOTHING | {name: True}))) - set(plain) == {capability}


def test_a_model_without_a_chat_template_has_nothing_of_conversations() -> None:
    able = abilities(["generate"], **dict.fromkeys(NOTHING, True) | {"chats": False})
    assert model.CAPABILITY_COMPLETIONS in able
    assert model.CAPABILITY_JSON_SCHEMA in able
    assert not {model.CAPABILITY_CHAT, *OPTIONAL.values()} & set(able)


def test_a_model_that_embeds_does_not_chat() -> None:
    embeds = (model.CAPABILITY_EMBEDDINGS, model.CAPABILITY_TOKEN_INPUTS)
    assert abilities(["embed", "token_embed"], **(NOTHING | {"tools": True})) == embeds
    assert abilities(["embed"], **(NOTHING | {"dimensions": True})) == (*embeds, model.CAPABILITY_DIMENSIONS)
    assert abilities(["classify"], **NOTHING) == ()


def test_effort_is_told_in_the_words_of_the_template() -> None:
    level, switch, none = Effort("{{ reasoning_effort }}"), Effort("{% if enable_thinking %}"), Effort("{{ messages }}")
    assert (level.known, switch.known, none.known) == (True, True, False)
    assert level.template_kwargs("low") == {"reasoning_effort": "low"}
    assert switch.template_kwargs("low") == {"enable_thinking": True}
    assert switch.template_kwargs("none") == {"enable_thinking": False}
    assert level.template_kwargs("") == switch.template_kwargs("") == none.template_kwargs("low") == {}
