"""The audit trail: written with the act, chained and signed afterwards, broken by any change."""

import tracemalloc
from collections.abc import Iterator

import pytest

from issuer_service import auditing
from shared.runtime import audit
from tests.support.issuer import IssuerWorld, Wallet, sample_register


@pytest.fixture
def world(
    empty_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, empty_database_url, register=sample_register(folder))
    Wallet(made).collect("pid_sd_jwt", subject="AV-000001")
    made.offer("pid_sd_jwt", subject="AV-000002")
    issued = made.api("GET", "/issuances").json()["issuances"][0]["issuance_id"]
    made.api("POST", f"/issuances/{issued}/revoke", {
        "reason": "court_order", "legal_basis": "Act 7, section 2", "second_approver": "clerk-2"
    })  # fmt: skip
    made.clock.advance(minutes=2)
    made.jobs.run_due()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _short_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trails are longer than what is read of them at once."""
    monkeypatch.setattr(audit, "_BATCH", 2)


def check(world: IssuerWorld) -> int:
    key = world.issuer.secrets.audit_key("registry").public
    return auditing.check_chain(world.issuer.database, tenant="registry", key=key)


def change(world: IssuerWorld, statement: str) -> None:
    with world.issuer.database.single() as connection:
        connection.exec_driver_sql(statement)


def test_every_act_has_its_row_with_reason_and_second_approver(world: IssuerWorld) -> None:
    """I-113, DESIGN "Decided": actor, reason code, legal basis, second approver; no person."""
    assert check(world) == 4
    dump = world.dump()
    for each in ("offer_created", "credential_issued", "credential_revoked", "Act 7, section 2"):
        assert each in dump
    assert "clerk-2" in dump
    assert "AV-000001" not in dump


_AGAIN = (
    "INSERT INTO audit (tenant, id, at, actor, act, object, sequence, hash)"
    " SELECT tenant, 'aud_again', at, actor, act, object, sequence, hash"
    " FROM audit WHERE sequence = {}"
)


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE sequence = 2", {2}),
        ("UPDATE audit SET reason = 'withdrawn' WHERE reason = 'court_order'", {1, 2, 3, 4}),
        ("DELETE FROM audit WHERE sequence = 2", {2}),
        ("DELETE FROM audit WHERE sequence = 4", {4}),
        ("UPDATE audit SET sequence = 9 WHERE sequence = 4", {4}),
        ("UPDATE audit SET sequence = 0 WHERE sequence = 4", {1}),
        ("UPDATE audit SET sequence = 2 WHERE sequence = 3", {2, 3}),
        (_AGAIN.format(2), {2, 3}),
        (_AGAIN.format(4), {4, 5}),
        ("UPDATE audit_heads SET signature = replace(signature, '.', '.A')", {4}),
    ],
)
def test_any_change_breaks_the_chain(world: IssuerWorld, statement: str, broken: set[int]) -> None:
    """DESIGN "Decided": chained and signed in batches; a change, a gap, a cut end are seen.

    What was done at the same time, or has the same number, stands in no certain order.
    """
    change(world, statement)
    with pytest.raises(audit.BrokenChain) as found:
        check(world)
    assert found.value.sequence in broken


def test_later_acts_continue_the_chain(world: IssuerWorld) -> None:
    world.offer("pid_sd_jwt", subject="AV-000003")
    world.clock.advance(minutes=2)
    world.jobs.run_due()
    assert check(world) == 5


def test_an_act_that_failed_left_no_row(world: IssuerWorld) -> None:
    """DESIGN "Decided": written in the transaction of the act."""
    before = auditing.count(world.issuer.database, tenant="registry")
    world.api("POST", "/offers", {"credentials": ["pid_sd_jwt"], "subject": "AV-000007"})
    world.api("POST", "/issuances/iss_none/revoke", {"reason": "withdrawn"})
    assert auditing.count(world.issuer.database, tenant="registry") == before


def test_a_long_trail_is_checked_within_bounded_memory(
    world: IssuerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PERFORMANCE 4: a portion of fifty rows is held at a time, not the trail."""
    monkeypatch.setattr(audit, "_BATCH", 50)
    tenant = world.issuer.tenant("registry")
    with world.issuer.database.transaction() as connection:
        for number in range(1_001):
            auditing.record(
                world.issuer, connection, tenant, actor="app", act="code_used_twice", on=f"{number}"
            )
    world.clock.advance(minutes=2)
    world.jobs.run_due()
    check(world)
    tracemalloc.start()
    assert check(world) == 1_005
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
