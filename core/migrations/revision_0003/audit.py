"""The audit is a chain: sealed when it is committed, and never changed."""

from typing import Final

FIRST_HEAD: Final = "INSERT INTO audit_head (number, seal) VALUES (0, '')"

SEAL: Final = """
    CREATE FUNCTION audit_seal(entry audit, before audit_head) RETURNS bytea LANGUAGE sql STABLE AS $$
        SELECT sha256(before.seal || convert_to(jsonb_build_array(
            before.number + 1, to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
            entry.actor, entry.action, entry.subject, entry.detail
        )::text, 'UTF8'))
    $$
"""

#: The row of audit_head stays locked until the transaction has ended, and the trigger runs when it is ending.
APPEND: Final = """
    CREATE FUNCTION audit_append() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE head audit_head;
    BEGIN
        SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
        UPDATE audit a SET number = head.number + 1, seal = audit_seal(a, head)
        WHERE a.id = NEW.id RETURNING a.number, a.seal INTO head.number, head.seal;
        UPDATE audit_head SET number = head.number, seal = head.seal;
        RETURN NULL;
    END $$
"""

REFUSE: Final = """
    CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit is append-only';
    END $$
"""

SEAL_THOSE_THERE: Final = """
    DO $$
    DECLARE head audit_head; entry audit;
    BEGIN
        SELECT * INTO STRICT head FROM audit_head;
        FOR entry IN SELECT * FROM audit ORDER BY id LOOP
            head.seal := audit_seal(entry, head);
            head.number := head.number + 1;
            UPDATE audit SET number = head.number, seal = head.seal WHERE id = entry.id;
        END LOOP;
        UPDATE audit_head SET number = head.number, seal = head.seal;
    END $$
"""

APPENDS: Final = """
    CREATE CONSTRAINT TRIGGER audit_append AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_append()
"""

KEPT: Final = """
    CREATE TRIGGER audit_kept BEFORE UPDATE ON audit FOR EACH ROW WHEN (OLD.seal IS NOT NULL)
    EXECUTE FUNCTION audit_refuse()
"""

NOT_REMOVED: Final = """
    CREATE TRIGGER audit_not_removed BEFORE DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()
"""

STATEMENTS: Final = (
    FIRST_HEAD,
    SEAL,
    APPEND,
    REFUSE,
    SEAL_THOSE_THERE,
    APPENDS,
    KEPT,
    NOT_REMOVED,
)
COMMENTS: Final = {
    "FUNCTION audit_seal": "the seal of an entry that comes after this one",
    "TRIGGER audit_append ON audit": "an entry gets its number and its seal when its transaction is committed",
    "TRIGGER audit_kept ON audit": "a sealed entry is never changed",
    "TRIGGER audit_not_removed ON audit": "no entry is removed",
}
