"""The pages' addresses, one list per area."""

from requests_app.web import home

app_name = "web"

urlpatterns = [
    *home.urlpatterns,
]
