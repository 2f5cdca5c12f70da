//! Roles and wiring: the command line and what each verb does.
