"""A process whose callers ask the lane without end: `python -m tests.concurrency.lane_load`.

It makes its world in an empty database (DATABASE_URL). Then it writes the tenant and the number of the entry of each
permission that a caller has heard. If the database fails, the callers ask again. It ends only when it is killed.
"""

from __future__ import annotations

import os
import threading
import time

THREADS = 8


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from requests_app.operations._decision_lane import DecisionLane
    from requests_app.platform.database import bounds
    from tests.caller import service_of
    from tests.cast import gather
    from tests.operations.test_decision_lane import Quota, access
    from tests.operations.test_evaluation import ask

    call_command("migrate", verbosity=0)
    cast = gather()
    cast.opened(window_for=14400)
    cast.opened("fabrikam", window_for=14400)
    staff = service_of(cast)
    foreign = ask(cast, resource=str(cast.resource("fabrikam").pk))
    asked = [(cast.contoso.pk, access(ask(cast), staff)), (cast.fabrikam.pk, access(foreign, staff))]
    connection.close()
    bounds.of_process(bounds.web(statement_seconds=15, threads=16))
    lane = DecisionLane(Quota(10**9))

    def caller(number: int) -> None:
        tenant_id, one = asked[number % len(asked)]
        while True:
            [decided] = lane.submit([one]).result(60)
            if decided.verdict is not None and decided.verdict.decision:
                os.write(1, f"{tenant_id} {decided.verdict.entry}\n".encode())
            else:
                time.sleep(0.02)

    for number in range(THREADS):
        threading.Thread(target=caller, args=[number], daemon=True).start()
    threading.Event().wait(300)


if __name__ == "__main__":
    main()
