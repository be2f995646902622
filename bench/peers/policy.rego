package lockbox

import rego.v1

default allow := false

allow if {
    input.grant.engineer == input.engineer
    input.grant.resource == input.resource
    input.now < input.grant.until
    covers
}

covers if input.action == "list"

covers if {
    input.action == "read"
    input.grant.level == "read"
}
