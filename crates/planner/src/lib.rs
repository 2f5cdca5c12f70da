//! Scheduling simulation and plans: pure data in, plan out.
