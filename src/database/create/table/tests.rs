//! Tables of one engine as another would have them.
