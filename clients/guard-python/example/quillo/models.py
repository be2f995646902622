"""Workspaces of customers, their pages and their members, and what engineers asked for."""

from django.contrib.auth.models import User
from django.db import models


class Workspace(models.Model):
    """A customer's workspace. `key` is its external id at Lockbox, and `tenant` the customer's id there."""

    key = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    tenant = models.UUIDField()


class Member(models.Model):
    user = models.OneToOneField(User, models.CASCADE)
    workspace = models.ForeignKey(Workspace, models.CASCADE)


class Page(models.Model):
    workspace = models.ForeignKey(Workspace, models.CASCADE)
    slug = models.SlugField()
    title = models.CharField(max_length=100)
    body = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="one_page_of_a_name")]


class Asked(models.Model):
    """An access request that an engineer made from here."""

    workspace = models.ForeignKey(Workspace, models.CASCADE)
    engineer = models.ForeignKey(User, models.CASCADE)
    access_request = models.UUIDField(unique=True)
    reference = models.CharField(max_length=16)
    case = models.CharField(max_length=120)
    at = models.DateTimeField(auto_now_add=True)
