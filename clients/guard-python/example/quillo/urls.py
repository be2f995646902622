"""The addresses of Quillo."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from quillo import views

urlpatterns = [
    path("sign-in/", LoginView.as_view(template_name="quillo/sign_in.html"), name="login"),
    path("sign-out/", LogoutView.as_view(), name="logout"),
    path("", views.pages, name="home"),
    path("pages/<slug:slug>/", views.page, name="page"),
    path("export/", views.export, name="export"),
    path("support/", views.workspaces, name="workspaces"),
    path("support/<slug:key>/", views.support, name="support"),
    path("hijack/", include("hijack.urls")),
]
