//! Cases to come with their kinds.
