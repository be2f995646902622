from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.acted_out import ActedOut
    from ..models.log_entry_out_detail import LogEntryOutDetail
    from ..models.subject_out import SubjectOut


T = TypeVar("T", bound="LogEntryOut")


@_attrs_define
class LogEntryOut:
    """`record` is the hashed text to the letter: SHA-256 over a zero byte and its UTF-8 bytes is `leaf_hash`, and the
    leaf at `index` of the tree `origin`. `seq` goes on over all trees of one log.

    An entry that somebody damaged is not left out: `is_intact` is then false, and `record` null where it is no record.

        Attributes:
            seq (int):
            at (datetime.datetime):
            event (str):
            door (str):
            actor (ActedOut): `kind` is `person`, `client` or `system`. `in_name_of` is the human for whom a client acted.
            subject (SubjectOut):
            access_request (None | str):
            detail (LogEntryOutDetail):
            origin (str):
            index (int):
            leaf_hash (str):
            is_intact (bool):
            record (None | str):
    """

    seq: int
    at: datetime.datetime
    event: str
    door: str
    actor: ActedOut
    subject: SubjectOut
    access_request: None | str
    detail: LogEntryOutDetail
    origin: str
    index: int
    leaf_hash: str
    is_intact: bool
    record: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        seq = self.seq

        at = self.at.isoformat()

        event = self.event

        door = self.door

        actor = self.actor.to_dict()

        subject = self.subject.to_dict()

        access_request: None | str
        access_request = self.access_request

        detail = self.detail.to_dict()

        origin = self.origin

        index = self.index

        leaf_hash = self.leaf_hash

        is_intact = self.is_intact

        record: None | str
        record = self.record

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "seq": seq,
                "at": at,
                "event": event,
                "door": door,
                "actor": actor,
                "subject": subject,
                "access_request": access_request,
                "detail": detail,
                "origin": origin,
                "index": index,
                "leaf_hash": leaf_hash,
                "is_intact": is_intact,
                "record": record,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.acted_out import ActedOut
        from ..models.log_entry_out_detail import LogEntryOutDetail
        from ..models.subject_out import SubjectOut

        d = dict(src_dict)
        seq = d.pop("seq")

        at = datetime.datetime.fromisoformat(d.pop("at"))

        event = d.pop("event")

        door = d.pop("door")

        actor = ActedOut.from_dict(d.pop("actor"))

        subject = SubjectOut.from_dict(d.pop("subject"))

        def _parse_access_request(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        access_request = _parse_access_request(d.pop("access_request"))

        detail = LogEntryOutDetail.from_dict(d.pop("detail"))

        origin = d.pop("origin")

        index = d.pop("index")

        leaf_hash = d.pop("leaf_hash")

        is_intact = d.pop("is_intact")

        def _parse_record(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        record = _parse_record(d.pop("record"))

        log_entry_out = cls(
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

        log_entry_out.additional_properties = d
        return log_entry_out

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
