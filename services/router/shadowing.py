"""Shadows: a share of the requests is sent to another route as well, where its answer is discarded."""

from hybridinference.inference.v1 import model_pb2 as model

from services.config.flags import point
from services.router.request import Request
from services.router.target import Target


def shadow_of(request: Request, now: float) -> Target | None:
    """Where the shadow of a generation goes: the least busy worker of the route that it falls to, if one has room."""
    targets = request.pool.shadows
    if not targets or model.CAPABILITY_EMBEDDINGS in request.needs:
        return None
    at = point("shadow", request.ask.generation_id)
    for route in dict.fromkeys(target.route for target in targets):
        at -= route.share
        if at < 0:
            ready = [one for one in targets if one.route is route and one.has_room and not one.ruled_out(request, now)]
            return min(ready, key=lambda target: (target.load, target.worker.name), default=None)
    return None
