"""Pages for customers, and pages for the provider's support. The views know nothing of Lockbox, except `support`."""

from __future__ import annotations

from collections.abc import Iterator

from django import forms
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from quillo import desk
from quillo.models import Asked, Page, Workspace
from quillo.support import window

staff_only = staff_member_required(login_url="login")


class PageForm(forms.ModelForm):
    class Meta:
        model, fields = Page, ["title", "body"]


class AskForm(forms.Form):
    case = forms.CharField(label="Your case, for example in Zendesk", max_length=120)
    case_url = forms.URLField(label="Its address", required=False, assume_scheme="https")
    level = forms.ChoiceField(choices=[("view", "Look only"), ("act_as", "Change things as a user")])
    minutes = forms.IntegerField(label="For how many minutes", min_value=15, max_value=480, initial=60)
    tried = forms.CharField(label="What did you try without access?", widget=forms.Textarea)
    justification = forms.CharField(label="Why do you need access?", widget=forms.Textarea)


@require_safe
@login_required
def pages(request: HttpRequest) -> HttpResponse:
    if request.user.is_staff:
        return redirect("workspaces")
    workspace = request.user.member.workspace
    return render(request, "quillo/pages.html", {"workspace": workspace, "pages": workspace.page_set.order_by("title")})


@login_required
def page(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Page, workspace__member__user=request.user, slug=slug)
    form = PageForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("page", slug)
    return render(request, "quillo/page.html", {"page": found, "form": form})


@require_safe
@login_required
def export(request: HttpRequest) -> StreamingHttpResponse:
    """Send all pages as one file. Its length is known, so that a browser notices a file that was cut."""
    found = Page.objects.filter(workspace__member__user=request.user).order_by("pk")
    bodies: Iterator[bytes] = (body.encode() for body in found.values_list("body", flat=True).iterator(1))
    response = StreamingHttpResponse(bodies, content_type="text/plain; charset=utf-8")
    response["Content-Length"] = str(
        sum(len(body.encode()) for body in found.values_list("body", flat=True).iterator(1))
    )
    response["Content-Disposition"] = 'attachment; filename="pages.txt"'
    return response


@require_safe
@staff_only
def workspaces(request: HttpRequest) -> HttpResponse:
    return render(request, "quillo/workspaces.html", {"workspaces": Workspace.objects.order_by("name")})


@staff_only
def support(request: HttpRequest, key: str) -> HttpResponse:
    """The way into a workspace: log in as one of its users, or ask for access."""
    workspace = get_object_or_404(Workspace, key=key)
    form, problem = AskForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        try:
            desk.ask(workspace, request.user, form.cleaned_data)
            return redirect("support", key)
        except desk.Declined as declined:
            problem = str(declined)
    asked = Asked.objects.filter(workspace=workspace, engineer=request.user).order_by("-at")[:5]
    shown = {
        "workspace": workspace, "access": window(request, workspace), "form": form, "problem": problem,
        "users": User.objects.filter(member__workspace=workspace, is_active=True).order_by("username"),
        "asked": [_with_state(each) for each in asked],
    }  # fmt: skip
    return render(request, "quillo/support.html", shown)


def _with_state(asked: Asked) -> dict[str, object]:
    try:
        return {"asked": asked, **desk.state_of(asked)}
    except desk.Declined as declined:
        return {"asked": asked, "state": str(declined)}
