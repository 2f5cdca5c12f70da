//! Strategic merge patch by hand-made cases.
