//! The value checks of the API server: what is refused with 422, and how it is said.
