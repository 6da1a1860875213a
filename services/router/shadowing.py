"""Shadows: a share of the requests is sent to another route as well, where its answer is discarded."""

from hybridinference.inference.v1 import model_pb2 as model

from services.router.request import Request
from services.router.target import Target


def shadow_of(request: Request, now: float) -> Target | None:
    """Where the shadow of a generation goes: the least busy worker of the route that it falls to, if one has room."""
    if model.CAPABILITY_EMBEDDINGS in request.needs:
        return None
    targets = request.pool.fallen_to("shadow", request.ask.generation_id)
    ready = [target for target in targets if target.has_room and not target.ruled_out(request, now)]
    return min(ready, key=lambda target: (target.load, target.worker.name), default=None)
