"""Tables of the plant link; what each is for stands in the migration and in docs/plant-link.md."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")
INSTANT = DateTime(timezone=True)

message_table = Table(
    "link_message",
    metadata,
    Column("message_row", NUMBER, primary_key=True, autoincrement=True),
    Column("offtake_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("kept_utc", INSTANT, nullable=False),
    Column("valid_until_utc", INSTANT, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    UniqueConstraint("offtake_id", "sequence", name="one_message_per_sequence"),
)

commitment_table = Table(
    "link_commitment",
    metadata,
    Column("commitment_row", NUMBER, primary_key=True, autoincrement=True),
    Column("offtake_id", Text, nullable=False),
    Column("start_utc", INSTANT, nullable=False),
    Column("end_utc", INSTANT, nullable=False),
    Column("gate_utc", INSTANT, nullable=False),
    Column("firm_kw", Float(53), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("kept_utc", INSTANT, nullable=False),
    Column("detail_json", Text, nullable=False),
    UniqueConstraint("offtake_id", "start_utc", "end_utc", "gate_utc", name="one_promise_per_gate_and_time"),
    Index("link_commitment_by_time", "offtake_id", "end_utc"),
)

life_table = Table(
    "link_life",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("at_utc", INSTANT, nullable=False),
    Column("content_json", Text, nullable=False),
)

beat_table = Table(
    "link_beat",
    metadata,
    Column("offtake_id", Text, primary_key=True),
    Column("reserved", BigInteger, nullable=False),
)

letter_table = Table(
    "link_letter",
    metadata,
    Column("letter_row", NUMBER, primary_key=True, autoincrement=True),
    Column("offtake_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("authenticated", Boolean, nullable=False),
    Column("received_utc", INSTANT, nullable=False),
    Column("payload_json", Text, nullable=False),
    UniqueConstraint("offtake_id", "digest", name="one_letter_per_content"),
    Index("link_letter_by_kind", "offtake_id", "kind", "letter_row"),
)

standing_table = Table(
    "link_standing",
    metadata,
    Column("letter_row", NUMBER, primary_key=True, autoincrement=False),
    Column("offtake_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Index("link_standing_by_kind", "offtake_id", "kind"),
)

reckoned_table = Table(
    "link_reckoned",
    metadata,
    Column("offtake_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("letter_row", BigInteger, nullable=False),
)

clear_table = Table(
    "link_override_clear",
    metadata,
    Column("clear_row", NUMBER, primary_key=True, autoincrement=True),
    Column("offtake_id", Text, nullable=False),
    Column("at_utc", INSTANT, nullable=False),
    Column("who", Text, nullable=False),
    Column("letter_row", BigInteger, nullable=False),
)

heard_table = Table(
    "link_heard",
    metadata,
    Column("offtake_id", Text, primary_key=True),
    Column("heard_utc", INSTANT, nullable=False),
    Column("counter", BigInteger),
    Column("moved_utc", INSTANT),
    Column("counter_authenticated", Boolean, nullable=False, server_default=false()),
)

audit_table = Table(
    "link_audit",
    metadata,
    Column("audit_row", NUMBER, primary_key=True, autoincrement=True),
    Column("at_utc", INSTANT, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("times", Integer, nullable=False),
)
