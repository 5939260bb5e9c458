"""Who calls `/api/v1`: the client by its access token, the asker by the transaction's secret."""

from shared.errors import Unauthenticated
from shared.runtime.calls import Call
from shared.runtime.client_credentials import ApiCaller

from ..context import Verifier
from ..results import Asker

ROLE = "verifier"
SUPERVISOR = "supervisor"  # accepts what nothing is known about; places and lifts legal holds
AUDITOR = "auditor"  # reads the audit trail
OPERATOR = "operator"  # sees and replays webhook messages
ROLES = (ROLE, SUPERVISOR, AUDITOR, OPERATOR)


class MissingSecret(Unauthenticated):
    """V-52."""

    code = "transaction_secret_missing"
    public = "Send the secret of the transaction in the header Transaction-Secret."
    next_step = "Use the secret that was answered when the transaction was started."


def caller(call: Call, verifier: Verifier, role: str = ROLE) -> ApiCaller:
    """The API client, for the tenant of the path. Raises Unauthenticated, Forbidden."""
    return verifier.clients.verify(
        call.header("authorization"), tenant=call.path["tenant"], role=role
    )


def asker(call: Call, verifier: Verifier, role: str = ROLE) -> Asker:
    """The API client with the secret it shows. Raises MissingSecret beside those of `caller`."""
    known = caller(call, verifier, role)
    secret = call.header("transaction-secret")
    if secret is None:
        raise MissingSecret("transaction: no secret")
    return Asker(known.tenant, known.client_id, secret)
