//! The same messages, read by this decoder and by another one, must say the same.

use std::sync::Arc;

use pg_walstream::{
    ColumnData, ColumnInfo, LogicalReplicationMessage as Other, LogicalReplicationParser,
    TupleData, encode_message_to_bytes,
};
use proptest::prelude::*;

use super::*;

fn same_text(ours: &str, theirs: &str) -> bool {
    ours == theirs
}

fn same_tuple(ours: Tuple<'_>, theirs: &TupleData) -> bool {
    let cells: Vec<_> = ours.cells().collect();
    ours.len() == theirs.column_count()
        && cells.len() == theirs.column_count()
        && cells
            .iter()
            .zip(&theirs.columns)
            .all(|(ours, theirs)| match ours {
                Cell::Null => theirs.is_null(),
                Cell::Unchanged => theirs.is_unchanged(),
                Cell::Text(bytes) => theirs.is_text() && *bytes == theirs.as_bytes(),
                Cell::Binary(bytes) => theirs.is_binary() && *bytes == theirs.as_bytes(),
            })
}

fn same_old(ours: Old<'_>, theirs: &TupleData, key_type: char) -> bool {
    same_tuple(ours.tuple, theirs) && ours.full == (key_type == 'O')
}

fn same(ours: &Message<'_>, theirs: &Other) -> bool {
    match (ours, theirs) {
        (
            Message::Begin {
                final_lsn,
                time,
                xid,
            },
            Other::Begin {
                final_lsn: lsn2,
                timestamp,
                xid: xid2,
            },
        ) => final_lsn == lsn2 && time == timestamp && xid == xid2,
        (
            Message::Commit {
                commit_lsn,
                end_lsn,
                time,
            },
            Other::Commit {
                flags,
                commit_lsn: commit2,
                end_lsn: end2,
                timestamp,
            },
        ) => *flags == 0 && commit_lsn == commit2 && end_lsn == end2 && time == timestamp,
        (
            Message::Origin { lsn, name },
            Other::Origin {
                origin_lsn,
                origin_name,
            },
        ) => lsn == origin_lsn && same_text(name, origin_name),
        (
            Message::Relation(ours),
            Other::Relation {
                relation_id,
                namespace,
                relation_name,
                replica_identity,
                columns,
            },
        ) => {
            ours.id == *relation_id
                && ours.schema == &**namespace
                && ours.name == &**relation_name
                && ours.identity == *replica_identity
                && ours.columns.len() == columns.len()
                && ours.columns.iter().zip(columns).all(|(a, b)| {
                    a.flags == b.flags
                        && a.name == &*b.name
                        && a.type_id == b.type_id
                        && a.modifier == b.type_modifier
                })
        }
        (
            Message::Type { id, schema, name },
            Other::Type {
                type_id,
                namespace,
                type_name,
            },
        ) => id == type_id && same_text(schema, namespace) && same_text(name, type_name),
        (Message::Insert { relation, new }, Other::Insert { relation_id, tuple }) => {
            relation == relation_id && same_tuple(*new, tuple)
        }
        (
            Message::Update { relation, old, new },
            Other::Update {
                relation_id,
                old_tuple,
                new_tuple,
                key_type,
            },
        ) => {
            relation == relation_id
                && same_tuple(*new, new_tuple)
                && match (old, old_tuple, key_type) {
                    (Some(old), Some(tuple), Some(kind)) => same_old(*old, tuple, *kind),
                    (None, None, None) => true,
                    _ => false,
                }
        }
        (
            Message::Delete { relation, old },
            Other::Delete {
                relation_id,
                old_tuple,
                key_type,
            },
        ) => relation == relation_id && same_old(*old, old_tuple, *key_type),
        (
            Message::Truncate { relations, flags },
            Other::Truncate {
                relation_ids,
                flags: flags2,
            },
        ) => relations == relation_ids && flags == flags2,
        (
            Message::Logical {
                transactional,
                lsn,
                prefix,
                content,
            },
            Other::Message {
                flags,
                lsn: lsn2,
                prefix: prefix2,
                content: content2,
            },
        ) => {
            *transactional == (flags & 1 == 1)
                && lsn == lsn2
                && same_text(prefix, prefix2)
                && *content == content2.as_ref()
        }
        _ => false,
    }
}

/// Names without the zero byte that would end them.
fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_ äß\"]{0,12}"
}

fn tuple() -> impl Strategy<Value = TupleData> {
    let cell = prop_oneof![
        Just(ColumnData::null()),
        Just(ColumnData::unchanged()),
        any::<Vec<u8>>().prop_map(ColumnData::text),
        any::<Vec<u8>>().prop_map(ColumnData::binary),
    ];
    prop::collection::vec(cell, 0..20).prop_map(TupleData::new)
}

fn columns() -> impl Strategy<Value = Vec<ColumnInfo>> {
    prop::collection::vec(
        (0_u8..2, name(), any::<u32>(), any::<i32>())
            .prop_map(|(flags, name, id, modifier)| ColumnInfo::new(flags, name, id, modifier)),
        0..12,
    )
}

fn any_message() -> impl Strategy<Value = Other> {
    let kind = prop_oneof![Just('O'), Just('K')];
    prop_oneof![
        (any::<u64>(), any::<i64>(), any::<u32>()).prop_map(|(final_lsn, timestamp, xid)| {
            Other::Begin {
                final_lsn,
                timestamp,
                xid,
            }
        }),
        (any::<u64>(), any::<u64>(), any::<i64>()).prop_map(|(commit_lsn, end_lsn, timestamp)| {
            Other::Commit {
                flags: 0,
                commit_lsn,
                end_lsn,
                timestamp,
            }
        }),
        (any::<u64>(), name()).prop_map(|(origin_lsn, origin_name)| Other::Origin {
            origin_lsn,
            origin_name
        }),
        (any::<u32>(), name(), name(), "[dnfi]", columns()).prop_map(
            |(relation_id, namespace, relation_name, identity, columns)| Other::Relation {
                relation_id,
                namespace: Arc::from(namespace),
                relation_name: Arc::from(relation_name),
                replica_identity: identity.as_bytes()[0],
                columns,
            }
        ),
        (any::<u32>(), name(), name()).prop_map(|(type_id, namespace, type_name)| Other::Type {
            type_id,
            namespace,
            type_name
        }),
        (any::<u32>(), tuple())
            .prop_map(|(relation_id, tuple)| Other::Insert { relation_id, tuple }),
        (
            any::<u32>(),
            prop::option::of((tuple(), kind.clone())),
            tuple()
        )
            .prop_map(|(relation_id, old, new_tuple)| {
                let (old_tuple, key_type) = old.unzip();
                Other::Update {
                    relation_id,
                    old_tuple,
                    new_tuple,
                    key_type,
                }
            }),
        (any::<u32>(), tuple(), kind).prop_map(|(relation_id, old_tuple, key_type)| {
            Other::Delete {
                relation_id,
                old_tuple,
                key_type,
            }
        }),
        (prop::collection::vec(any::<u32>(), 0..6), 0_u8..4).prop_map(|(relation_ids, flags)| {
            Other::Truncate {
                relation_ids,
                flags,
            }
        }),
        (0_u8..2, any::<u64>(), name(), any::<Vec<u8>>()).prop_map(
            |(flags, lsn, prefix, content)| Other::Message {
                flags,
                lsn,
                prefix,
                content: content.into(),
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_decoders_read_the_same(message in any_message()) {
        let bytes = encode_message_to_bytes(&message, 1);
        let theirs = LogicalReplicationParser::with_protocol_version(1)
            .parse_wal_message(&bytes)
            .unwrap()
            .message;
        let ours = read(&bytes).unwrap();
        prop_assert!(same(&ours, &theirs), "{ours:?}\n{theirs:?}");
        prop_assert!(same(&ours, &message));
    }

    #[test]
    fn a_message_that_is_cut_short_or_too_long_is_refused(
        message in any_message(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode_message_to_bytes(&message, 1).to_vec();
        let cut = cut.index(bytes.len());
        prop_assert!(read(&bytes[..cut]).is_err());
        bytes.push(0);
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn nonsense_never_panics(bytes: Vec<u8>) {
        if let Ok(Message::Insert { new, .. }) = read(&bytes) {
            prop_assert_eq!(new.cells().count(), new.len());
        }
    }
}
