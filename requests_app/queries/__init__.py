"""Named reads, one per screen; each takes the actor and shows only what is visible to them."""

from requests_app.models.people import actor_of

__all__ = ["actor_of"]
