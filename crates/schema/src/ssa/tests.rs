//! Server-side apply by hand-made cases and by laws.
