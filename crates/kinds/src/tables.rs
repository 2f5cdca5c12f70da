//! The columns that `kubectl get` prints, kind by kind.
