//! The API: paths, bodies, answers.
