"""The API: Django REST framework, and the document that drf-spectacular makes."""

REST_FRAMEWORK: dict[str, object] = {
    # A view that does not declare who may call it is closed to everybody.
    "DEFAULT_AUTHENTICATION_CLASSES": ["requests_app.doors.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "requests_app.doors.api.generator.Schema",
    "EXCEPTION_HANDLER": "requests_app.doors.api.errors.handle",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, object] = {
    "TITLE": "Customer Lockbox",
    "DESCRIPTION": "Nobody at the provider looks at a customer’s content without a window that the customer opened.",
    # The version of the contract with programs, which a release of the product does not change.
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    # For the library's own check, which `manage.py check --deploy` makes.
    "DEFAULT_GENERATOR_CLASS": "requests_app.doors.api.generator.Generator",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "requests_app.doors.api.generator.close_bodies",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "SideEnum": ["provider", "customer"],
        "StateEnum": "requests_app.domain.states.State.values",
        "GrantStateEnum": "requests_app.doors.api.grants.STATES",
        "TicketStateEnum": "requests_app.domain.states.TicketState.values",
        "TicketActionsEnum": "requests_app.doors.api.ticket_shapes.ACTIONS",
        "AllowedActionsEnum": "requests_app.doors.api.access_requests.ACTIONS",
        "DeliveryStateEnum": ["waiting", "delivered", "parked"],
        "KindEnum": ["person", "client"],
        "LevelEnum": "requests_app.domain.levels.Level.values",
        "LookKindEnum": "requests_app.doors.api.grants.LOOKS",
        "TenantRoleEnum": "requests_app.doors.api.members.ROLES",
        "QueueRoleEnum": "requests_app.doors.api.provider_people.ROLES",
        "ResourceKindEnum": "requests_app.doors.api.resources.KINDS",
        "ReasonEnum": "requests_app.doors.api.azure_shapes.SOURCES",
        "AzureStatusEnum": "requests_app.doors.api.azure_shapes.STATUSES",
        "AzureVerdictEnum": ["Approve", "Deny"],
        "AlgEnum": ["RS256", "EdDSA"],
        "StreamStatusEnum": ["enabled", "paused", "disabled"],
        "DeliveryMethodEnum": "requests_app.doors.api.signal_shapes.METHODS",
        "EvaluationReasonEnum": "requests_app.domain.evaluation.REASONS",
    },
}
