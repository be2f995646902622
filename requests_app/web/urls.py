"""The pages' addresses, one list per area."""

from requests_app.web import (
    access_requests,
    acts,
    asking,
    clients,
    content,
    decisions,
    evidence,
    home,
    limits,
    log,
    log_rules,
    people,
    preferences,
    proofs,
    retention,
    tenant,
    tickets,
    tokens,
    webhooks,
)

app_name = "web"

urlpatterns = [
    *home.urlpatterns,
    *access_requests.urlpatterns,
    *decisions.urlpatterns,
    *acts.urlpatterns,
    *asking.urlpatterns,
    *tickets.urlpatterns,
    *content.urlpatterns,
    *log.urlpatterns,
    *proofs.urlpatterns,
    *evidence.urlpatterns,
    *tenant.urlpatterns,
    *log_rules.urlpatterns,
    *retention.urlpatterns,
    *webhooks.urlpatterns,
    *clients.urlpatterns,
    *tokens.urlpatterns,
    *people.urlpatterns,
    *preferences.urlpatterns,
    *limits.urlpatterns,
]
