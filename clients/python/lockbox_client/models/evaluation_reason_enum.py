from typing import Literal

EvaluationReasonEnum = Literal[
    "not_allowed", "not_covered", "not_found", "unknown_action", "window_not_open", "window_open"
]

EVALUATION_REASON_ENUM_VALUES: set[EvaluationReasonEnum] = {
    "not_allowed",
    "not_covered",
    "not_found",
    "unknown_action",
    "window_not_open",
    "window_open",
}


def check_evaluation_reason_enum(value: str) -> EvaluationReasonEnum:
    if value in EVALUATION_REASON_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {EVALUATION_REASON_ENUM_VALUES!r}")
