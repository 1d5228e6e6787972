//! A migration's life on the command line.
