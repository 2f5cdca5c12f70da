//! The one write path: what is kept, refused and given back.
