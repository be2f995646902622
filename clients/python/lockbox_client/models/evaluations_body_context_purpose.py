from typing import Literal

EvaluationsBodyContextPurpose = Literal["access", "advice"]

EVALUATIONS_BODY_CONTEXT_PURPOSE_VALUES: set[EvaluationsBodyContextPurpose] = {
    "access",
    "advice",
}


def check_evaluations_body_context_purpose(value: str) -> EvaluationsBodyContextPurpose:
    if value in EVALUATIONS_BODY_CONTEXT_PURPOSE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {EVALUATIONS_BODY_CONTEXT_PURPOSE_VALUES!r}")
