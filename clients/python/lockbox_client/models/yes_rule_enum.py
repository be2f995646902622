from typing import Literal

YesRuleEnum = Literal["any", "device_bound", "signed"]

YES_RULE_ENUM_VALUES: set[YesRuleEnum] = {
    "any",
    "device_bound",
    "signed",
}


def check_yes_rule_enum(value: str) -> YesRuleEnum:
    if value in YES_RULE_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {YES_RULE_ENUM_VALUES!r}")
