"""Functions that read what the screens show.

Each function takes the actor, and returns only rows that this actor may see.
"""

from requests_app.models.people import actor_of

__all__ = ["actor_of"]
