//! Hash tables on hot paths: every changed row's key goes through several of them.

/// With a hash that is several times as fast as the standard library's, seeded anew in each process.
pub type FastMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// See [`FastMap`].
pub type FastSet<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;
