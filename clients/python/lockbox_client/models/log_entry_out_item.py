from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.acted_out import ActedOut
    from ..models.log_entry_out_item_detail import LogEntryOutItemDetail
    from ..models.subject_out import SubjectOut


T = TypeVar("T", bound="LogEntryOutItem")


@_attrs_define
class LogEntryOutItem:
    """`record` is the hashed text to the letter: SHA-256 over a zero byte and its UTF-8 bytes is `leaf_hash`, and the
    leaf at `index` of the tree `origin`. `seq` goes on over all trees of one log.

    An entry that somebody damaged is not left out: `is_intact` is then false, and `record` null where it is no record.

        Attributes:
            seq (int | Unset):
            at (datetime.datetime | Unset):
            event (str | Unset):
            door (str | Unset):
            actor (ActedOut | Unset): `kind` is `person`, `client` or `system`. `in_name_of` is the human for whom a client
                acted.
            subject (SubjectOut | Unset):
            access_request (None | str | Unset):
            detail (LogEntryOutItemDetail | Unset):
            origin (str | Unset):
            index (int | Unset):
            leaf_hash (str | Unset):
            is_intact (bool | Unset):
            record (None | str | Unset):
    """

    seq: int | Unset = UNSET
    at: datetime.datetime | Unset = UNSET
    event: str | Unset = UNSET
    door: str | Unset = UNSET
    actor: ActedOut | Unset = UNSET
    subject: SubjectOut | Unset = UNSET
    access_request: None | str | Unset = UNSET
    detail: LogEntryOutItemDetail | Unset = UNSET
    origin: str | Unset = UNSET
    index: int | Unset = UNSET
    leaf_hash: str | Unset = UNSET
    is_intact: bool | Unset = UNSET
    record: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        seq = self.seq

        at: str | Unset = UNSET
        if not isinstance(self.at, Unset):
            at = self.at.isoformat()

        event = self.event

        door = self.door

        actor: dict[str, Any] | Unset = UNSET
        if not isinstance(self.actor, Unset):
            actor = self.actor.to_dict()

        subject: dict[str, Any] | Unset = UNSET
        if not isinstance(self.subject, Unset):
            subject = self.subject.to_dict()

        access_request: None | str | Unset
        if isinstance(self.access_request, Unset):
            access_request = UNSET
        else:
            access_request = self.access_request

        detail: dict[str, Any] | Unset = UNSET
        if not isinstance(self.detail, Unset):
            detail = self.detail.to_dict()

        origin = self.origin

        index = self.index

        leaf_hash = self.leaf_hash

        is_intact = self.is_intact

        record: None | str | Unset
        if isinstance(self.record, Unset):
            record = UNSET
        else:
            record = self.record

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if seq is not UNSET:
            field_dict["seq"] = seq
        if at is not UNSET:
            field_dict["at"] = at
        if event is not UNSET:
            field_dict["event"] = event
        if door is not UNSET:
            field_dict["door"] = door
        if actor is not UNSET:
            field_dict["actor"] = actor
        if subject is not UNSET:
            field_dict["subject"] = subject
        if access_request is not UNSET:
            field_dict["access_request"] = access_request
        if detail is not UNSET:
            field_dict["detail"] = detail
        if origin is not UNSET:
            field_dict["origin"] = origin
        if index is not UNSET:
            field_dict["index"] = index
        if leaf_hash is not UNSET:
            field_dict["leaf_hash"] = leaf_hash
        if is_intact is not UNSET:
            field_dict["is_intact"] = is_intact
        if record is not UNSET:
            field_dict["record"] = record

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.acted_out import ActedOut
        from ..models.log_entry_out_item_detail import LogEntryOutItemDetail
        from ..models.subject_out import SubjectOut

        d = dict(src_dict)
        seq = d.pop("seq", UNSET)

        _at = d.pop("at", UNSET)
        at: datetime.datetime | Unset
        if isinstance(_at, Unset):
            at = UNSET
        else:
            at = datetime.datetime.fromisoformat(_at)

        event = d.pop("event", UNSET)

        door = d.pop("door", UNSET)

        _actor = d.pop("actor", UNSET)
        actor: ActedOut | Unset
        if isinstance(_actor, Unset):
            actor = UNSET
        else:
            actor = ActedOut.from_dict(_actor)

        _subject = d.pop("subject", UNSET)
        subject: SubjectOut | Unset
        if isinstance(_subject, Unset):
            subject = UNSET
        else:
            subject = SubjectOut.from_dict(_subject)

        def _parse_access_request(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        access_request = _parse_access_request(d.pop("access_request", UNSET))

        _detail = d.pop("detail", UNSET)
        detail: LogEntryOutItemDetail | Unset
        if isinstance(_detail, Unset):
            detail = UNSET
        else:
            detail = LogEntryOutItemDetail.from_dict(_detail)

        origin = d.pop("origin", UNSET)

        index = d.pop("index", UNSET)

        leaf_hash = d.pop("leaf_hash", UNSET)

        is_intact = d.pop("is_intact", UNSET)

        def _parse_record(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        record = _parse_record(d.pop("record", UNSET))

        log_entry_out_item = cls(
            seq=seq,
            at=at,
            event=event,
            door=door,
            actor=actor,
            subject=subject,
            access_request=access_request,
            detail=detail,
            origin=origin,
            index=index,
            leaf_hash=leaf_hash,
            is_intact=is_intact,
            record=record,
        )

        log_entry_out_item.additional_properties = d
        return log_entry_out_item

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
