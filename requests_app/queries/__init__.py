"""The reads for the screens, one function for each.

Each function takes the actor and returns only what the actor may see.
"""

from requests_app.models.people import actor_of

__all__ = ["actor_of"]
