from typing import Literal

EvaluationBodyContextPurpose = Literal["access", "advice"]

EVALUATION_BODY_CONTEXT_PURPOSE_VALUES: set[EvaluationBodyContextPurpose] = {
    "access",
    "advice",
}


def check_evaluation_body_context_purpose(value: str) -> EvaluationBodyContextPurpose:
    if value in EVALUATION_BODY_CONTEXT_PURPOSE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {EVALUATION_BODY_CONTEXT_PURPOSE_VALUES!r}")
