//! Scenarios: budgets.
