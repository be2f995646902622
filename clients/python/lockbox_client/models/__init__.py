"""Contains all the data models used in inputs/outputs"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .absence_in_request import AbsenceInRequest
    from .absence_out import AbsenceOut
    from .absence_out_item import AbsenceOutItem
    from .access_request_in_request import AccessRequestInRequest
    from .access_request_line import AccessRequestLine
    from .access_request_line_item import AccessRequestLineItem
    from .access_request_out import AccessRequestOut
    from .access_request_ref import AccessRequestRef
    from .access_requests_list_order import AccessRequestsListOrder
    from .access_requests_list_state import AccessRequestsListState
    from .access_requests_manifest_decision import AccessRequestsManifestDecision
    from .acted_for_out import ActedForOut
    from .acted_out import ActedOut
    from .address_in_request import AddressInRequest
    from .address_out import AddressOut
    from .address_out_item import AddressOutItem
    from .addresses_list_order import AddressesListOrder
    from .allowed_actions_enum import AllowedActionsEnum
    from .announced_out import AnnouncedOut
    from .announced_out_item import AnnouncedOutItem
    from .approval import Approval
    from .approval_in_request import ApprovalInRequest
    from .asserted_in_request import AssertedInRequest
    from .assertion_in_request import AssertionInRequest
    from .assertion_in_request_client_extension_results import (
        AssertionInRequestClientExtensionResults,
    )
    from .assign_in_request import AssignInRequest
    from .attempt_out import AttemptOut
    from .azure_additional_info import AzureAdditionalInfo
    from .azure_disable_lockbox_api_version import AzureDisableLockboxApiVersion
    from .azure_display import AzureDisplay
    from .azure_enable_lockbox_api_version import AzureEnableLockboxApiVersion
    from .azure_error import AzureError
    from .azure_error_body import AzureErrorBody
    from .azure_info import AzureInfo
    from .azure_operation import AzureOperation
    from .azure_operations import AzureOperations
    from .azure_operations_list_api_version import AzureOperationsListApiVersion
    from .azure_opted_in import AzureOptedIn
    from .azure_properties import AzureProperties
    from .azure_request import AzureRequest
    from .azure_requests import AzureRequests
    from .azure_requests_get_api_version import AzureRequestsGetApiVersion
    from .azure_requests_list_api_version import AzureRequestsListApiVersion
    from .azure_requests_update_approval_api_version import (
        AzureRequestsUpdateApprovalApiVersion,
    )
    from .azure_status_enum import AzureStatusEnum
    from .azure_tenant_opted_in_api_version import AzureTenantOptedInApiVersion
    from .azure_verdict_enum import AzureVerdictEnum
    from .checkpoint_line import CheckpointLine
    from .checkpoint_line_item import CheckpointLineItem
    from .checkpoint_out import CheckpointOut
    from .client_in_request import ClientInRequest
    from .client_out import ClientOut
    from .client_out_item import ClientOutItem
    from .client_with_secret import ClientWithSecret
    from .close_reason_enum import CloseReasonEnum
    from .comment_in_request import CommentInRequest
    from .comment_out import CommentOut
    from .comment_out_item import CommentOutItem
    from .content_access_out import ContentAccessOut
    from .content_access_out_item import ContentAccessOutItem
    from .control_in_request import ControlInRequest
    from .control_out import ControlOut
    from .cosigned_out import CosignedOut
    from .days_enum import DaysEnum
    from .decision_in_request import DecisionInRequest
    from .decision_out import DecisionOut
    from .delivery_line import DeliveryLine
    from .delivery_line_item import DeliveryLineItem
    from .delivery_out import DeliveryOut
    from .delivery_state_enum import DeliveryStateEnum
    from .demand_in_request import DemandInRequest
    from .demand_out import DemandOut
    from .domain_in_request import DomainInRequest
    from .domain_out import DomainOut
    from .domain_out_item import DomainOutItem
    from .evaluation_body import EvaluationBody
    from .evaluation_body_action import EvaluationBodyAction
    from .evaluation_body_action_properties import EvaluationBodyActionProperties
    from .evaluation_body_context import EvaluationBodyContext
    from .evaluation_body_context_purpose import EvaluationBodyContextPurpose
    from .evaluation_body_resource import EvaluationBodyResource
    from .evaluation_body_resource_properties import EvaluationBodyResourceProperties
    from .evaluation_body_subject import EvaluationBodySubject
    from .evaluation_body_subject_properties import EvaluationBodySubjectProperties
    from .evaluation_context import EvaluationContext
    from .evaluation_ended import EvaluationEnded
    from .evaluation_fault import EvaluationFault
    from .evaluation_out import EvaluationOut
    from .evaluation_reason_enum import EvaluationReasonEnum
    from .evaluations_body import EvaluationsBody
    from .evaluations_body_action import EvaluationsBodyAction
    from .evaluations_body_action_properties import EvaluationsBodyActionProperties
    from .evaluations_body_context import EvaluationsBodyContext
    from .evaluations_body_context_purpose import EvaluationsBodyContextPurpose
    from .evaluations_body_evaluations_item import EvaluationsBodyEvaluationsItem
    from .evaluations_body_options import EvaluationsBodyOptions
    from .evaluations_body_options_evaluations_semantic import (
        EvaluationsBodyOptionsEvaluationsSemantic,
    )
    from .evaluations_body_resource import EvaluationsBodyResource
    from .evaluations_body_resource_properties import EvaluationsBodyResourceProperties
    from .evaluations_body_subject import EvaluationsBodySubject
    from .evaluations_body_subject_properties import EvaluationsBodySubjectProperties
    from .evaluations_out import EvaluationsOut
    from .event_out import EventOut
    from .event_out_data import EventOutData
    from .event_out_item import EventOutItem
    from .event_out_item_data import EventOutItemData
    from .events_enum import EventsEnum
    from .events_out import EventsOut
    from .grant_line import GrantLine
    from .grant_line_item import GrantLineItem
    from .grant_out import GrantOut
    from .grant_out_allowed_actions_enum import GrantOutAllowedActionsEnum
    from .grant_state_enum import GrantStateEnum
    from .grants_accesses_kind import GrantsAccessesKind
    from .grants_accesses_order import GrantsAccessesOrder
    from .grants_list_order import GrantsListOrder
    from .grants_list_state import GrantsListState
    from .growth_out import GrowthOut
    from .hours_enum import HoursEnum
    from .identity_out import IdentityOut
    from .identity_out_item import IdentityOutItem
    from .invitation_in_request import InvitationInRequest
    from .invitation_out import InvitationOut
    from .invitation_out_item import InvitationOutItem
    from .key_out import KeyOut
    from .kind_enum import KindEnum
    from .lasting_in_request import LastingInRequest
    from .level_enum import LevelEnum
    from .link_in_request import LinkInRequest
    from .log_checkpoints_order import LogCheckpointsOrder
    from .log_entries_event import LogEntriesEvent
    from .log_entries_order import LogEntriesOrder
    from .log_entry_out import LogEntryOut
    from .log_entry_out_detail import LogEntryOutDetail
    from .log_entry_out_item import LogEntryOutItem
    from .log_entry_out_item_detail import LogEntryOutItemDetail
    from .log_export_event import LogExportEvent
    from .log_export_format import LogExportFormat
    from .log_out import LogOut
    from .look_kind_enum import LookKindEnum
    from .manifest_out import ManifestOut
    from .manifest_out_request import ManifestOutRequest
    from .me_out import MeOut
    from .member_out import MemberOut
    from .member_out_item import MemberOutItem
    from .members_list_order import MembersListOrder
    from .members_list_role import MembersListRole
    from .mute_in_request import MuteInRequest
    from .mute_out import MuteOut
    from .mute_out_item import MuteOutItem
    from .needed_comment_in_request import NeededCommentInRequest
    from .off_because_enum import OffBecauseEnum
    from .options_out import OptionsOut
    from .options_out_options import OptionsOutOptions
    from .origin_enum import OriginEnum
    from .paginated_absence_out_list import PaginatedAbsenceOutList
    from .paginated_access_request_line_list import PaginatedAccessRequestLineList
    from .paginated_address_out_list import PaginatedAddressOutList
    from .paginated_announced_out_list import PaginatedAnnouncedOutList
    from .paginated_checkpoint_line_list import PaginatedCheckpointLineList
    from .paginated_client_out_list import PaginatedClientOutList
    from .paginated_comment_out_list import PaginatedCommentOutList
    from .paginated_content_access_out_list import PaginatedContentAccessOutList
    from .paginated_delivery_line_list import PaginatedDeliveryLineList
    from .paginated_domain_out_list import PaginatedDomainOutList
    from .paginated_grant_line_list import PaginatedGrantLineList
    from .paginated_identity_out_list import PaginatedIdentityOutList
    from .paginated_invitation_out_list import PaginatedInvitationOutList
    from .paginated_log_entry_out_list import PaginatedLogEntryOutList
    from .paginated_member_out_list import PaginatedMemberOutList
    from .paginated_mute_out_list import PaginatedMuteOutList
    from .paginated_proposal_out_list import PaginatedProposalOutList
    from .paginated_resource_out_list import PaginatedResourceOutList
    from .paginated_service_out_list import PaginatedServiceOutList
    from .paginated_tenant_ref_list import PaginatedTenantRefList
    from .paginated_ticket_line_list import PaginatedTicketLineList
    from .paginated_token_out_list import PaginatedTokenOutList
    from .paginated_webhook_out_list import PaginatedWebhookOutList
    from .passkey_in_request import PasskeyInRequest
    from .passkey_in_request_response import PasskeyInRequestResponse
    from .passkey_out import PasskeyOut
    from .patched_client_change_request import PatchedClientChangeRequest
    from .patched_tenant_change_request import PatchedTenantChangeRequest
    from .patched_webhook_change_request import PatchedWebhookChangeRequest
    from .person_ref import PersonRef
    from .plan_out import PlanOut
    from .priority_enum import PriorityEnum
    from .problem import Problem
    from .problem_current import ProblemCurrent
    from .problem_errors_item import ProblemErrorsItem
    from .proof_out import ProofOut
    from .proposal_out import ProposalOut
    from .proposal_out_item import ProposalOutItem
    from .provider_log_checkpoints_order import ProviderLogCheckpointsOrder
    from .provider_log_entries_event import ProviderLogEntriesEvent
    from .provider_log_entries_order import ProviderLogEntriesOrder
    from .provider_log_export_event import ProviderLogExportEvent
    from .provider_log_export_format import ProviderLogExportFormat
    from .reason_enum import ReasonEnum
    from .resource_kind_enum import ResourceKindEnum
    from .resource_out import ResourceOut
    from .resource_out_item import ResourceOutItem
    from .resource_ref import ResourceRef
    from .resources_list_kind import ResourcesListKind
    from .resources_list_order import ResourcesListOrder
    from .role_in_request import RoleInRequest
    from .role_out import RoleOut
    from .said_in_request import SaidInRequest
    from .scopes_enum import ScopesEnum
    from .seen_out import SeenOut
    from .service_out import ServiceOut
    from .service_out_item import ServiceOutItem
    from .service_ref import ServiceRef
    from .services_list_order import ServicesListOrder
    from .side_enum import SideEnum
    from .sign_on_in_request import SignOnInRequest
    from .sign_on_in_request_role_map import SignOnInRequestRoleMap
    from .sign_on_in_request_role_map_additional_property import (
        SignOnInRequestRoleMapAdditionalProperty,
    )
    from .sign_on_out import SignOnOut
    from .sign_on_out_role_map import SignOnOutRoleMap
    from .signature_in_request import SignatureInRequest
    from .state_enum import StateEnum
    from .step_up_in_request import StepUpInRequest
    from .step_up_out import StepUpOut
    from .subject_out import SubjectOut
    from .tenant_out import TenantOut
    from .tenant_ref import TenantRef
    from .tenant_ref_item import TenantRefItem
    from .tenant_role_enum import TenantRoleEnum
    from .tenants_list_order import TenantsListOrder
    from .ticket_actions_enum import TicketActionsEnum
    from .ticket_in_request import TicketInRequest
    from .ticket_line import TicketLine
    from .ticket_line_item import TicketLineItem
    from .ticket_out import TicketOut
    from .ticket_ref import TicketRef
    from .ticket_state_enum import TicketStateEnum
    from .tickets_comments_order import TicketsCommentsOrder
    from .tickets_list_order import TicketsListOrder
    from .tickets_list_origin import TicketsListOrigin
    from .tickets_list_priority import TicketsListPriority
    from .tickets_list_state import TicketsListState
    from .token_in_request import TokenInRequest
    from .token_out import TokenOut
    from .token_out_item import TokenOutItem
    from .token_with_secret import TokenWithSecret
    from .tokens_list_order import TokensListOrder
    from .type_enum import TypeEnum
    from .under_way_out import UnderWayOut
    from .verdict_enum import VerdictEnum
    from .webhook_in_request import WebhookInRequest
    from .webhook_out import WebhookOut
    from .webhook_out_item import WebhookOutItem
    from .webhook_with_secret import WebhookWithSecret
    from .webhooks_deliveries_order import WebhooksDeliveriesOrder
    from .webhooks_deliveries_state import WebhooksDeliveriesState
    from .window_out import WindowOut
    from .yes_rule_enum import YesRuleEnum

_WHERE = {
    "AbsenceInRequest": "absence_in_request",
    "AbsenceOut": "absence_out",
    "AbsenceOutItem": "absence_out_item",
    "AccessRequestInRequest": "access_request_in_request",
    "AccessRequestLine": "access_request_line",
    "AccessRequestLineItem": "access_request_line_item",
    "AccessRequestOut": "access_request_out",
    "AccessRequestRef": "access_request_ref",
    "AccessRequestsListOrder": "access_requests_list_order",
    "AccessRequestsListState": "access_requests_list_state",
    "AccessRequestsManifestDecision": "access_requests_manifest_decision",
    "ActedForOut": "acted_for_out",
    "ActedOut": "acted_out",
    "AddressInRequest": "address_in_request",
    "AddressOut": "address_out",
    "AddressOutItem": "address_out_item",
    "AddressesListOrder": "addresses_list_order",
    "AllowedActionsEnum": "allowed_actions_enum",
    "AnnouncedOut": "announced_out",
    "AnnouncedOutItem": "announced_out_item",
    "Approval": "approval",
    "ApprovalInRequest": "approval_in_request",
    "AssertedInRequest": "asserted_in_request",
    "AssertionInRequest": "assertion_in_request",
    "AssertionInRequestClientExtensionResults": "assertion_in_request_client_extension_results",
    "AssignInRequest": "assign_in_request",
    "AttemptOut": "attempt_out",
    "AzureAdditionalInfo": "azure_additional_info",
    "AzureDisableLockboxApiVersion": "azure_disable_lockbox_api_version",
    "AzureDisplay": "azure_display",
    "AzureEnableLockboxApiVersion": "azure_enable_lockbox_api_version",
    "AzureError": "azure_error",
    "AzureErrorBody": "azure_error_body",
    "AzureInfo": "azure_info",
    "AzureOperation": "azure_operation",
    "AzureOperations": "azure_operations",
    "AzureOperationsListApiVersion": "azure_operations_list_api_version",
    "AzureOptedIn": "azure_opted_in",
    "AzureProperties": "azure_properties",
    "AzureRequest": "azure_request",
    "AzureRequests": "azure_requests",
    "AzureRequestsGetApiVersion": "azure_requests_get_api_version",
    "AzureRequestsListApiVersion": "azure_requests_list_api_version",
    "AzureRequestsUpdateApprovalApiVersion": "azure_requests_update_approval_api_version",
    "AzureStatusEnum": "azure_status_enum",
    "AzureTenantOptedInApiVersion": "azure_tenant_opted_in_api_version",
    "AzureVerdictEnum": "azure_verdict_enum",
    "CheckpointLine": "checkpoint_line",
    "CheckpointLineItem": "checkpoint_line_item",
    "CheckpointOut": "checkpoint_out",
    "ClientInRequest": "client_in_request",
    "ClientOut": "client_out",
    "ClientOutItem": "client_out_item",
    "ClientWithSecret": "client_with_secret",
    "CloseReasonEnum": "close_reason_enum",
    "CommentInRequest": "comment_in_request",
    "CommentOut": "comment_out",
    "CommentOutItem": "comment_out_item",
    "ContentAccessOut": "content_access_out",
    "ContentAccessOutItem": "content_access_out_item",
    "ControlInRequest": "control_in_request",
    "ControlOut": "control_out",
    "CosignedOut": "cosigned_out",
    "DaysEnum": "days_enum",
    "DecisionInRequest": "decision_in_request",
    "DecisionOut": "decision_out",
    "DeliveryLine": "delivery_line",
    "DeliveryLineItem": "delivery_line_item",
    "DeliveryOut": "delivery_out",
    "DeliveryStateEnum": "delivery_state_enum",
    "DemandInRequest": "demand_in_request",
    "DemandOut": "demand_out",
    "DomainInRequest": "domain_in_request",
    "DomainOut": "domain_out",
    "DomainOutItem": "domain_out_item",
    "EvaluationBody": "evaluation_body",
    "EvaluationBodyAction": "evaluation_body_action",
    "EvaluationBodyActionProperties": "evaluation_body_action_properties",
    "EvaluationBodyContext": "evaluation_body_context",
    "EvaluationBodyContextPurpose": "evaluation_body_context_purpose",
    "EvaluationBodyResource": "evaluation_body_resource",
    "EvaluationBodyResourceProperties": "evaluation_body_resource_properties",
    "EvaluationBodySubject": "evaluation_body_subject",
    "EvaluationBodySubjectProperties": "evaluation_body_subject_properties",
    "EvaluationContext": "evaluation_context",
    "EvaluationEnded": "evaluation_ended",
    "EvaluationFault": "evaluation_fault",
    "EvaluationOut": "evaluation_out",
    "EvaluationReasonEnum": "evaluation_reason_enum",
    "EvaluationsBody": "evaluations_body",
    "EvaluationsBodyAction": "evaluations_body_action",
    "EvaluationsBodyActionProperties": "evaluations_body_action_properties",
    "EvaluationsBodyContext": "evaluations_body_context",
    "EvaluationsBodyContextPurpose": "evaluations_body_context_purpose",
    "EvaluationsBodyEvaluationsItem": "evaluations_body_evaluations_item",
    "EvaluationsBodyOptions": "evaluations_body_options",
    "EvaluationsBodyOptionsEvaluationsSemantic": "evaluations_body_options_evaluations_semantic",
    "EvaluationsBodyResource": "evaluations_body_resource",
    "EvaluationsBodyResourceProperties": "evaluations_body_resource_properties",
    "EvaluationsBodySubject": "evaluations_body_subject",
    "EvaluationsBodySubjectProperties": "evaluations_body_subject_properties",
    "EvaluationsOut": "evaluations_out",
    "EventOut": "event_out",
    "EventOutData": "event_out_data",
    "EventOutItem": "event_out_item",
    "EventOutItemData": "event_out_item_data",
    "EventsEnum": "events_enum",
    "EventsOut": "events_out",
    "GrantLine": "grant_line",
    "GrantLineItem": "grant_line_item",
    "GrantOut": "grant_out",
    "GrantOutAllowedActionsEnum": "grant_out_allowed_actions_enum",
    "GrantStateEnum": "grant_state_enum",
    "GrantsAccessesKind": "grants_accesses_kind",
    "GrantsAccessesOrder": "grants_accesses_order",
    "GrantsListOrder": "grants_list_order",
    "GrantsListState": "grants_list_state",
    "GrowthOut": "growth_out",
    "HoursEnum": "hours_enum",
    "IdentityOut": "identity_out",
    "IdentityOutItem": "identity_out_item",
    "InvitationInRequest": "invitation_in_request",
    "InvitationOut": "invitation_out",
    "InvitationOutItem": "invitation_out_item",
    "KeyOut": "key_out",
    "KindEnum": "kind_enum",
    "LastingInRequest": "lasting_in_request",
    "LevelEnum": "level_enum",
    "LinkInRequest": "link_in_request",
    "LogCheckpointsOrder": "log_checkpoints_order",
    "LogEntriesEvent": "log_entries_event",
    "LogEntriesOrder": "log_entries_order",
    "LogEntryOut": "log_entry_out",
    "LogEntryOutDetail": "log_entry_out_detail",
    "LogEntryOutItem": "log_entry_out_item",
    "LogEntryOutItemDetail": "log_entry_out_item_detail",
    "LogExportEvent": "log_export_event",
    "LogExportFormat": "log_export_format",
    "LogOut": "log_out",
    "LookKindEnum": "look_kind_enum",
    "ManifestOut": "manifest_out",
    "ManifestOutRequest": "manifest_out_request",
    "MeOut": "me_out",
    "MemberOut": "member_out",
    "MemberOutItem": "member_out_item",
    "MembersListOrder": "members_list_order",
    "MembersListRole": "members_list_role",
    "MuteInRequest": "mute_in_request",
    "MuteOut": "mute_out",
    "MuteOutItem": "mute_out_item",
    "NeededCommentInRequest": "needed_comment_in_request",
    "OffBecauseEnum": "off_because_enum",
    "OptionsOut": "options_out",
    "OptionsOutOptions": "options_out_options",
    "OriginEnum": "origin_enum",
    "PaginatedAbsenceOutList": "paginated_absence_out_list",
    "PaginatedAccessRequestLineList": "paginated_access_request_line_list",
    "PaginatedAddressOutList": "paginated_address_out_list",
    "PaginatedAnnouncedOutList": "paginated_announced_out_list",
    "PaginatedCheckpointLineList": "paginated_checkpoint_line_list",
    "PaginatedClientOutList": "paginated_client_out_list",
    "PaginatedCommentOutList": "paginated_comment_out_list",
    "PaginatedContentAccessOutList": "paginated_content_access_out_list",
    "PaginatedDeliveryLineList": "paginated_delivery_line_list",
    "PaginatedDomainOutList": "paginated_domain_out_list",
    "PaginatedGrantLineList": "paginated_grant_line_list",
    "PaginatedIdentityOutList": "paginated_identity_out_list",
    "PaginatedInvitationOutList": "paginated_invitation_out_list",
    "PaginatedLogEntryOutList": "paginated_log_entry_out_list",
    "PaginatedMemberOutList": "paginated_member_out_list",
    "PaginatedMuteOutList": "paginated_mute_out_list",
    "PaginatedProposalOutList": "paginated_proposal_out_list",
    "PaginatedResourceOutList": "paginated_resource_out_list",
    "PaginatedServiceOutList": "paginated_service_out_list",
    "PaginatedTenantRefList": "paginated_tenant_ref_list",
    "PaginatedTicketLineList": "paginated_ticket_line_list",
    "PaginatedTokenOutList": "paginated_token_out_list",
    "PaginatedWebhookOutList": "paginated_webhook_out_list",
    "PasskeyInRequest": "passkey_in_request",
    "PasskeyInRequestResponse": "passkey_in_request_response",
    "PasskeyOut": "passkey_out",
    "PatchedClientChangeRequest": "patched_client_change_request",
    "PatchedTenantChangeRequest": "patched_tenant_change_request",
    "PatchedWebhookChangeRequest": "patched_webhook_change_request",
    "PersonRef": "person_ref",
    "PlanOut": "plan_out",
    "PriorityEnum": "priority_enum",
    "Problem": "problem",
    "ProblemCurrent": "problem_current",
    "ProblemErrorsItem": "problem_errors_item",
    "ProofOut": "proof_out",
    "ProposalOut": "proposal_out",
    "ProposalOutItem": "proposal_out_item",
    "ProviderLogCheckpointsOrder": "provider_log_checkpoints_order",
    "ProviderLogEntriesEvent": "provider_log_entries_event",
    "ProviderLogEntriesOrder": "provider_log_entries_order",
    "ProviderLogExportEvent": "provider_log_export_event",
    "ProviderLogExportFormat": "provider_log_export_format",
    "ReasonEnum": "reason_enum",
    "ResourceKindEnum": "resource_kind_enum",
    "ResourceOut": "resource_out",
    "ResourceOutItem": "resource_out_item",
    "ResourceRef": "resource_ref",
    "ResourcesListKind": "resources_list_kind",
    "ResourcesListOrder": "resources_list_order",
    "RoleInRequest": "role_in_request",
    "RoleOut": "role_out",
    "SaidInRequest": "said_in_request",
    "ScopesEnum": "scopes_enum",
    "SeenOut": "seen_out",
    "ServiceOut": "service_out",
    "ServiceOutItem": "service_out_item",
    "ServiceRef": "service_ref",
    "ServicesListOrder": "services_list_order",
    "SideEnum": "side_enum",
    "SignOnInRequest": "sign_on_in_request",
    "SignOnInRequestRoleMap": "sign_on_in_request_role_map",
    "SignOnInRequestRoleMapAdditionalProperty": "sign_on_in_request_role_map_additional_property",
    "SignOnOut": "sign_on_out",
    "SignOnOutRoleMap": "sign_on_out_role_map",
    "SignatureInRequest": "signature_in_request",
    "StateEnum": "state_enum",
    "StepUpInRequest": "step_up_in_request",
    "StepUpOut": "step_up_out",
    "SubjectOut": "subject_out",
    "TenantOut": "tenant_out",
    "TenantRef": "tenant_ref",
    "TenantRefItem": "tenant_ref_item",
    "TenantRoleEnum": "tenant_role_enum",
    "TenantsListOrder": "tenants_list_order",
    "TicketActionsEnum": "ticket_actions_enum",
    "TicketInRequest": "ticket_in_request",
    "TicketLine": "ticket_line",
    "TicketLineItem": "ticket_line_item",
    "TicketOut": "ticket_out",
    "TicketRef": "ticket_ref",
    "TicketStateEnum": "ticket_state_enum",
    "TicketsCommentsOrder": "tickets_comments_order",
    "TicketsListOrder": "tickets_list_order",
    "TicketsListOrigin": "tickets_list_origin",
    "TicketsListPriority": "tickets_list_priority",
    "TicketsListState": "tickets_list_state",
    "TokenInRequest": "token_in_request",
    "TokenOut": "token_out",
    "TokenOutItem": "token_out_item",
    "TokenWithSecret": "token_with_secret",
    "TokensListOrder": "tokens_list_order",
    "TypeEnum": "type_enum",
    "UnderWayOut": "under_way_out",
    "VerdictEnum": "verdict_enum",
    "WebhookInRequest": "webhook_in_request",
    "WebhookOut": "webhook_out",
    "WebhookOutItem": "webhook_out_item",
    "WebhookWithSecret": "webhook_with_secret",
    "WebhooksDeliveriesOrder": "webhooks_deliveries_order",
    "WebhooksDeliveriesState": "webhooks_deliveries_state",
    "WindowOut": "window_out",
    "YesRuleEnum": "yes_rule_enum",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


__all__ = (
    "AbsenceInRequest",
    "AbsenceOut",
    "AbsenceOutItem",
    "AccessRequestInRequest",
    "AccessRequestLine",
    "AccessRequestLineItem",
    "AccessRequestOut",
    "AccessRequestRef",
    "AccessRequestsListOrder",
    "AccessRequestsListState",
    "AccessRequestsManifestDecision",
    "ActedForOut",
    "ActedOut",
    "AddressesListOrder",
    "AddressInRequest",
    "AddressOut",
    "AddressOutItem",
    "AllowedActionsEnum",
    "AnnouncedOut",
    "AnnouncedOutItem",
    "Approval",
    "ApprovalInRequest",
    "AssertedInRequest",
    "AssertionInRequest",
    "AssertionInRequestClientExtensionResults",
    "AssignInRequest",
    "AttemptOut",
    "AzureAdditionalInfo",
    "AzureDisableLockboxApiVersion",
    "AzureDisplay",
    "AzureEnableLockboxApiVersion",
    "AzureError",
    "AzureErrorBody",
    "AzureInfo",
    "AzureOperation",
    "AzureOperations",
    "AzureOperationsListApiVersion",
    "AzureOptedIn",
    "AzureProperties",
    "AzureRequest",
    "AzureRequests",
    "AzureRequestsGetApiVersion",
    "AzureRequestsListApiVersion",
    "AzureRequestsUpdateApprovalApiVersion",
    "AzureStatusEnum",
    "AzureTenantOptedInApiVersion",
    "AzureVerdictEnum",
    "CheckpointLine",
    "CheckpointLineItem",
    "CheckpointOut",
    "ClientInRequest",
    "ClientOut",
    "ClientOutItem",
    "ClientWithSecret",
    "CloseReasonEnum",
    "CommentInRequest",
    "CommentOut",
    "CommentOutItem",
    "ContentAccessOut",
    "ContentAccessOutItem",
    "ControlInRequest",
    "ControlOut",
    "CosignedOut",
    "DaysEnum",
    "DecisionInRequest",
    "DecisionOut",
    "DeliveryLine",
    "DeliveryLineItem",
    "DeliveryOut",
    "DeliveryStateEnum",
    "DemandInRequest",
    "DemandOut",
    "DomainInRequest",
    "DomainOut",
    "DomainOutItem",
    "EvaluationBody",
    "EvaluationBodyAction",
    "EvaluationBodyActionProperties",
    "EvaluationBodyContext",
    "EvaluationBodyContextPurpose",
    "EvaluationBodyResource",
    "EvaluationBodyResourceProperties",
    "EvaluationBodySubject",
    "EvaluationBodySubjectProperties",
    "EvaluationContext",
    "EvaluationEnded",
    "EvaluationFault",
    "EvaluationOut",
    "EvaluationReasonEnum",
    "EvaluationsBody",
    "EvaluationsBodyAction",
    "EvaluationsBodyActionProperties",
    "EvaluationsBodyContext",
    "EvaluationsBodyContextPurpose",
    "EvaluationsBodyEvaluationsItem",
    "EvaluationsBodyOptions",
    "EvaluationsBodyOptionsEvaluationsSemantic",
    "EvaluationsBodyResource",
    "EvaluationsBodyResourceProperties",
    "EvaluationsBodySubject",
    "EvaluationsBodySubjectProperties",
    "EvaluationsOut",
    "EventOut",
    "EventOutData",
    "EventOutItem",
    "EventOutItemData",
    "EventsEnum",
    "EventsOut",
    "GrantLine",
    "GrantLineItem",
    "GrantOut",
    "GrantOutAllowedActionsEnum",
    "GrantsAccessesKind",
    "GrantsAccessesOrder",
    "GrantsListOrder",
    "GrantsListState",
    "GrantStateEnum",
    "GrowthOut",
    "HoursEnum",
    "IdentityOut",
    "IdentityOutItem",
    "InvitationInRequest",
    "InvitationOut",
    "InvitationOutItem",
    "KeyOut",
    "KindEnum",
    "LastingInRequest",
    "LevelEnum",
    "LinkInRequest",
    "LogCheckpointsOrder",
    "LogEntriesEvent",
    "LogEntriesOrder",
    "LogEntryOut",
    "LogEntryOutDetail",
    "LogEntryOutItem",
    "LogEntryOutItemDetail",
    "LogExportEvent",
    "LogExportFormat",
    "LogOut",
    "LookKindEnum",
    "ManifestOut",
    "ManifestOutRequest",
    "MemberOut",
    "MemberOutItem",
    "MembersListOrder",
    "MembersListRole",
    "MeOut",
    "MuteInRequest",
    "MuteOut",
    "MuteOutItem",
    "NeededCommentInRequest",
    "OffBecauseEnum",
    "OptionsOut",
    "OptionsOutOptions",
    "OriginEnum",
    "PaginatedAbsenceOutList",
    "PaginatedAccessRequestLineList",
    "PaginatedAddressOutList",
    "PaginatedAnnouncedOutList",
    "PaginatedCheckpointLineList",
    "PaginatedClientOutList",
    "PaginatedCommentOutList",
    "PaginatedContentAccessOutList",
    "PaginatedDeliveryLineList",
    "PaginatedDomainOutList",
    "PaginatedGrantLineList",
    "PaginatedIdentityOutList",
    "PaginatedInvitationOutList",
    "PaginatedLogEntryOutList",
    "PaginatedMemberOutList",
    "PaginatedMuteOutList",
    "PaginatedProposalOutList",
    "PaginatedResourceOutList",
    "PaginatedServiceOutList",
    "PaginatedTenantRefList",
    "PaginatedTicketLineList",
    "PaginatedTokenOutList",
    "PaginatedWebhookOutList",
    "PasskeyInRequest",
    "PasskeyInRequestResponse",
    "PasskeyOut",
    "PatchedClientChangeRequest",
    "PatchedTenantChangeRequest",
    "PatchedWebhookChangeRequest",
    "PersonRef",
    "PlanOut",
    "PriorityEnum",
    "Problem",
    "ProblemCurrent",
    "ProblemErrorsItem",
    "ProofOut",
    "ProposalOut",
    "ProposalOutItem",
    "ProviderLogCheckpointsOrder",
    "ProviderLogEntriesEvent",
    "ProviderLogEntriesOrder",
    "ProviderLogExportEvent",
    "ProviderLogExportFormat",
    "ReasonEnum",
    "ResourceKindEnum",
    "ResourceOut",
    "ResourceOutItem",
    "ResourceRef",
    "ResourcesListKind",
    "ResourcesListOrder",
    "RoleInRequest",
    "RoleOut",
    "SaidInRequest",
    "ScopesEnum",
    "SeenOut",
    "ServiceOut",
    "ServiceOutItem",
    "ServiceRef",
    "ServicesListOrder",
    "SideEnum",
    "SignatureInRequest",
    "SignOnInRequest",
    "SignOnInRequestRoleMap",
    "SignOnInRequestRoleMapAdditionalProperty",
    "SignOnOut",
    "SignOnOutRoleMap",
    "StateEnum",
    "StepUpInRequest",
    "StepUpOut",
    "SubjectOut",
    "TenantOut",
    "TenantRef",
    "TenantRefItem",
    "TenantRoleEnum",
    "TenantsListOrder",
    "TicketActionsEnum",
    "TicketInRequest",
    "TicketLine",
    "TicketLineItem",
    "TicketOut",
    "TicketRef",
    "TicketsCommentsOrder",
    "TicketsListOrder",
    "TicketsListOrigin",
    "TicketsListPriority",
    "TicketsListState",
    "TicketStateEnum",
    "TokenInRequest",
    "TokenOut",
    "TokenOutItem",
    "TokensListOrder",
    "TokenWithSecret",
    "TypeEnum",
    "UnderWayOut",
    "VerdictEnum",
    "WebhookInRequest",
    "WebhookOut",
    "WebhookOutItem",
    "WebhooksDeliveriesOrder",
    "WebhooksDeliveriesState",
    "WebhookWithSecret",
    "WindowOut",
    "YesRuleEnum",
)
