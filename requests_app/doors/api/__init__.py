"""The API: HTTP and JSON for machines. It calls the same operations as the pages."""

from requests_app.platform import extras

# The framework imports these packages where they are installed, for its tests' client and for features that this
# product does not use. They take four megabytes in each installation.
with extras.left_out("requests", "pygments", "yaml", "django.contrib.postgres.fields"):
    import rest_framework.compat  # noqa: F401 - imported for what it loads
