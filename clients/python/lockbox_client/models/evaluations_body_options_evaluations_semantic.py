from typing import Literal

EvaluationsBodyOptionsEvaluationsSemantic = Literal["deny_on_first_deny", "execute_all", "permit_on_first_permit"]

EVALUATIONS_BODY_OPTIONS_EVALUATIONS_SEMANTIC_VALUES: set[EvaluationsBodyOptionsEvaluationsSemantic] = {
    "deny_on_first_deny",
    "execute_all",
    "permit_on_first_permit",
}


def check_evaluations_body_options_evaluations_semantic(value: str) -> EvaluationsBodyOptionsEvaluationsSemantic:
    if value in EVALUATIONS_BODY_OPTIONS_EVALUATIONS_SEMANTIC_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {EVALUATIONS_BODY_OPTIONS_EVALUATIONS_SEMANTIC_VALUES!r}"
    )
