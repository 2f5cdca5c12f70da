//! Defaults that the API server fills in when an object is written.
